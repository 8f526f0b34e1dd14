# The CUDA toolkit, if there is one, and NCCL. Sets MASFORMER_HAS_CUDA and MASFORMER_HAS_NCCL, and
# makes plugins: libraries that the program opens when it needs them (runtime/plugin.h).
set(MASFORMER_CUDA AUTO CACHE STRING "Build the CUDA backend: ON, OFF, or AUTO (where the toolkit is)")
set(MASFORMER_HAS_CUDA OFF)
set(MASFORMER_HAS_NCCL OFF)
if(MASFORMER_CUDA)
  find_program(MASFORMER_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
  if(MASFORMER_NVCC)
    set(CMAKE_CUDA_COMPILER ${MASFORMER_NVCC})
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-real 90)  # code for Ampere and Hopper, and PTX for later devices
    endif()
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    # CMake 3.25 does not know nvcc's option for C++20, which targets take over from C++.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    # fmt 9 turns constexpr off for nvcc, but needs it to check format strings.
    string(APPEND CMAKE_CUDA_FLAGS
      " --expt-relaxed-constexpr -DFMT_USE_CONSTEXPR=1 -Xcompiler=-Wall,-Wextra")
    set(MASFORMER_HAS_CUDA ON)
    find_package(NCCL)
    set(MASFORMER_HAS_NCCL ${NCCL_FOUND})
  elseif(NOT MASFORMER_CUDA STREQUAL AUTO)
    message(FATAL_ERROR "MASFORMER_CUDA is ${MASFORMER_CUDA} and no nvcc was found: set CUDA_HOME")
  endif()
endif()
# cuDNN and the headers of its C++ frontend, which uses NVRTC: the target cudnn_frontend. The frontend
# needs JSON only for its log and files. Without cuDNN, own kernels take all of attention.
set(MASFORMER_CUDNN_FRONTEND ${CMAKE_SOURCE_DIR}/build/cudnn-frontend/include CACHE PATH
  "Where cudnn_frontend.h is, as scripts/cudnn-frontend.sh fetches it")
set(MASFORMER_HAS_CUDNN OFF)
if(MASFORMER_HAS_CUDA AND NOT MASFORMER_SANITIZE)
  find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR})
  if(CUDNN_INCLUDE_DIR AND CUDNN_LIBRARY AND EXISTS ${MASFORMER_CUDNN_FRONTEND}/cudnn_frontend.h)
    set(MASFORMER_HAS_CUDNN ON)
    add_library(cudnn_frontend INTERFACE)
    target_include_directories(cudnn_frontend SYSTEM INTERFACE
      ${MASFORMER_CUDNN_FRONTEND} ${CUDNN_INCLUDE_DIR} ${CUDAToolkit_INCLUDE_DIRS})
    target_compile_definitions(cudnn_frontend INTERFACE CUDNN_FRONTEND_SKIP_JSON_LIB)
    target_link_libraries(cudnn_frontend INTERFACE ${CUDNN_LIBRARY} CUDA::nvrtc CUDA::cudart_static)
  else()
    message(WARNING "no cuDNN, or no headers of its frontend (scripts/cudnn-frontend.sh fetches them): "
      "attention on CUDA devices will be many times slower")
  endif()
endif()

# masformer_header_version(VARIABLE FILE PREFIX PATCH): "9.13.0", from the lines of a header that define
# PREFIX_MAJOR, PREFIX_MINOR and PREFIX_PATCH, whatever the header calls the last.
function(masformer_header_version variable file prefix patch)
  set(version)
  foreach(part MAJOR MINOR ${patch})
    file(STRINGS ${file} line REGEX "^#define ${prefix}_${part} +[0-9]+" LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+$" number "${line}")
    list(APPEND version ${number})
  endforeach()
  list(JOIN version . version)
  set(${variable} ${version} PARENT_SCOPE)
endfunction()

# What the plugins are built against, for `masformer --version`.
set(MASFORMER_CUDA_VERSIONS "CUDA ${CUDAToolkit_VERSION}")
set(MASFORMER_NCCL_VERSION "")
if(MASFORMER_HAS_CUDNN)
  masformer_header_version(cudnn_version ${CUDNN_INCLUDE_DIR}/cudnn_version.h CUDNN PATCHLEVEL)
  string(APPEND MASFORMER_CUDA_VERSIONS ", cuDNN ${cudnn_version}")
endif()
if(MASFORMER_HAS_NCCL)
  masformer_header_version(MASFORMER_NCCL_VERSION ${NCCL_INCLUDE_DIR}/nccl.h NCCL PATCH)
endif()
message(STATUS "CUDA backend: ${MASFORMER_HAS_CUDA}, NCCL: ${MASFORMER_HAS_NCCL}, cuDNN with its frontend: ${MASFORMER_HAS_CUDNN}")

# masformer_unite_kernels(LIST): replaces the .cu files in a list of sources, relative to the project's root, by files
# that include six of them each. nvcc reads all headers four times per file, which takes most of its time, and
# CMake 3.25 unites no CUDA sources by itself.
function(masformer_unite_kernels list)
  set(kernels ${${list}})
  list(FILTER kernels INCLUDE REGEX "[.]cu$")
  if(NOT MASFORMER_UNITY OR NOT kernels)
    return()
  endif()
  list(REMOVE_ITEM ${list} ${kernels})
  set(number 0)
  while(kernels)
    list(SUBLIST kernels 0 6 united)
    list(REMOVE_ITEM kernels ${united})
    list(TRANSFORM united REPLACE "(.+)" "#include \"\\1\"\n")
    list(JOIN united "" text)
    set(file ${CMAKE_BINARY_DIR}/kernels/united_${number}.cu)
    file(CONFIGURE OUTPUT ${file} CONTENT "${text}" @ONLY)
    file(RELATIVE_PATH file ${CMAKE_SOURCE_DIR} ${file})
    list(APPEND ${list} ${file})
    math(EXPR number "${number} + 1")
  endwhile()
  set(${list} ${${list}} PARENT_SCOPE)
endfunction()

# Builds all plugins.
add_custom_target(plugins)

# masformer_plugin(NAME SOURCES files... LINK targets...): libmasformer_NAME.so beside the program;
# files are relative to the project's root. Not with sanitizers, which do not support device code: there,
# the sources run only on the fake of CUDA.
function(masformer_plugin name)
  if(NOT MASFORMER_HAS_CUDA OR MASFORMER_SANITIZE)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  list(TRANSFORM arg_SOURCES PREPEND ${CMAKE_SOURCE_DIR}/)
  add_library(masformer_${name} SHARED ${arg_SOURCES})
  target_link_libraries(masformer_${name} PRIVATE ${arg_LINK} CUDA::cudart_static)
  target_link_options(masformer_${name} PRIVATE LINKER:--as-needed,--no-undefined)
  set_target_properties(masformer_${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  masformer_unite(masformer_${name})
  add_dependencies(plugins masformer_${name})
endfunction()
