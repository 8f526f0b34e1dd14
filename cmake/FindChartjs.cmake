# Chart.js, as one file for browsers: what `masformer report` puts into its page. The version is in the comment at its
# beginning.
find_file(Chartjs_FILE NAMES chart.min.js Chart.min.js PATHS /usr/share PATH_SUFFIXES javascript/chart.js
  nodejs/chart.js/dist)
set(Chartjs_VERSION 0)
if(Chartjs_FILE AND EXISTS ${Chartjs_FILE})
  file(READ ${Chartjs_FILE} banner LIMIT 200)
  if(banner MATCHES "Chart\\.js v([0-9]+\\.[0-9.]*[0-9])")
    set(Chartjs_VERSION ${CMAKE_MATCH_1})
  endif()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Chartjs REQUIRED_VARS Chartjs_FILE VERSION_VAR Chartjs_VERSION)
mark_as_advanced(Chartjs_FILE)
