# Chart.js, as one file for browsers: what `masformer report` puts into its page.
find_file(Chartjs_FILE NAMES chart.min.js Chart.min.js PATHS /usr/share PATH_SUFFIXES javascript/chart.js
  nodejs/chart.js/dist)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Chartjs REQUIRED_VARS Chartjs_FILE)
mark_as_advanced(Chartjs_FILE)
