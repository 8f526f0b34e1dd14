# The options that every target of the project is compiled with, and functions that make targets.
add_library(masformer_flags INTERFACE)
set(warnings -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual -Wsuggest-override
  $<$<CXX_COMPILER_ID:GNU>:-Wzero-as-null-pointer-constant> -Wno-missing-field-initializers
  $<$<BOOL:${MASFORMER_WERROR}>:-Werror>)
target_compile_options(masformer_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${warnings};-Wpedantic;-march=${MASFORMER_ARCH};-fno-math-errno;-fno-trapping-math>")
target_compile_definitions(masformer_flags INTERFACE OMPI_SKIP_MPICXX=1)
target_include_directories(masformer_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(MASFORMER_SANITIZE)
  target_compile_options(masformer_flags INTERFACE
    -fsanitize=${MASFORMER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    # `omp simd` asks for vectors, which instrumented loops cannot become.
    $<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>)
  target_link_options(masformer_flags INTERFACE -fsanitize=${MASFORMER_SANITIZE})
endif()

# masformer_unite(TARGET...): compiles the C++ sources of each eight at a time.
function(masformer_unite)
  set_target_properties(${ARGN} PROPERTIES UNITY_BUILD ${MASFORMER_UNITY} UNITY_BUILD_BATCH_SIZE 8)
endfunction()

# masformer_library(NAME SOURCES... LINK targets...): one of the five folders.
function(masformer_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_library(masformer_${name} STATIC ${arg_SOURCES})
  add_library(masformer::${name} ALIAS masformer_${name})
  target_link_libraries(masformer_${name} PUBLIC masformer_flags fmt::fmt ${arg_LINK})
  masformer_unite(masformer_${name})
endfunction()

# For tests that start ranks themselves: these share the cores with other tests, and a rank without mpirun starts no
# daemon of MPI, which takes 0.2 s.
set(started_ranks OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_ess_singleton_isolated=1)

# masformer_schedule(TEST RANKS): how many of CTest's slots a test with that many ranks takes. A core has two slots, so
# that beside each test with ranks on two cores there is one for a test that mostly waits (PROCESSORS 1). To pair them,
# tests with ranks start before all others.
function(masformer_schedule test ranks)
  if(ranks GREATER 1)
    set_tests_properties(${test} PROPERTIES PROCESSORS 3 COST 100)
  else()
    set_tests_properties(${test} PROPERTIES PROCESSORS 2)
  endif()
endfunction()

# masformer_brief_code(LEVEL TARGET...): for code of tests, which runs only briefly, an optimisation of LEVEL. The
# compiler takes a third longer for -O2 than for -O1, and for that than for -O0.
function(masformer_brief_code level)
  foreach(target IN LISTS ARGN)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-O${level}>)
  endforeach()
endfunction()

# Seconds until a test is killed. Sanitizers slow programs down.
set(masformer_test_timeout 300)
if(MASFORMER_SANITIZE)
  set(masformer_test_timeout 1200)
endif()

# masformer_test(FILE LINK targets... [RANKS n...] [TIMEOUT seconds] [COMPUTES]): a GoogleTest file. With RANKS,
# mpirun starts it once for each number of ranks, and every rank runs every test in it. COMPUTES: its own code computes
# so much, say as a reference, that optimising it saves more time than it takes.
function(masformer_test file)
  cmake_parse_arguments(arg "COMPUTES" "TIMEOUT" "LINK;RANKS" ${ARGN})
  string(REGEX REPLACE "[/.]" "_" name ${file})
  string(REGEX REPLACE "_cpp$" "" name ${name})
  set_property(GLOBAL APPEND PROPERTY MASFORMER_TEST_FILES ${file})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT ${masformer_test_timeout})
  endif()
  add_executable(${name} ${CMAKE_SOURCE_DIR}/tests/${file})
  if(NOT arg_COMPUTES)
    masformer_brief_code(0 ${name})
    if(TARGET masformer_test_headers AND arg_LINK MATCHES masformer)  # compiled with the same options
      target_precompile_headers(${name} REUSE_FROM masformer_test_headers)
    endif()
  endif()
  if(arg_RANKS)
    target_link_libraries(${name} PRIVATE ${arg_LINK} masformer_test_support masformer_mpi_main GTest::gtest)
    foreach(ranks IN LISTS arg_RANKS)
      add_test(NAME ${name}.ranks${ranks}
        COMMAND ${CMAKE_SOURCE_DIR}/tests/support/mpirun ${ranks} $<TARGET_FILE:${name}>)
      masformer_schedule(${name}.ranks${ranks} ${ranks})
      set_tests_properties(${name}.ranks${ranks} PROPERTIES TIMEOUT ${arg_TIMEOUT}
        ENVIRONMENT "MASFORMER_BINARY=${CMAKE_BINARY_DIR}/masformer")
    endforeach()
  else()
    target_link_libraries(${name} PRIVATE ${arg_LINK} masformer_test_support GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name})
    masformer_schedule(${name} 1)
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT}
      ENVIRONMENT "MASFORMER_BINARY=${CMAKE_BINARY_DIR}/masformer;${started_ranks}")
  endif()
endfunction()

# masformer_device_test(NAME [RANKS n...] [ENVIRONMENT assignments...]): runs a test that masformer_test
# made on CUDA devices, too: on the fake of CUDA if that is built (NAME.fake), and on the machine's own
# device (NAME.gpu, with the label gpu), where it is skipped if there is none.
function(masformer_device_test name)
  cmake_parse_arguments(arg "" "" "RANKS;ENVIRONMENT" ${ARGN})
  if(TARGET masformer_cuda_on_fake)
    masformer_add_device_tests(${name}.fake ${CMAKE_BINARY_DIR}/fakes "${arg_RANKS}"
      "${arg_ENVIRONMENT}")
  endif()
  if(TARGET masformer_cuda)
    masformer_add_device_tests(${name}.gpu ${CMAKE_BINARY_DIR} "${arg_RANKS}" "${arg_ENVIRONMENT}")
  endif()
endfunction()

# Adds the test with the plugins in `folder` for each number of ranks; without mpirun if there is none.
function(masformer_add_device_tests name folder all_ranks environment)
  string(REGEX REPLACE "[.][a-z]*$" "" program ${name})
  string(REGEX REPLACE ".*[.]" "" kind ${name})
  set(tests ${name})
  set(ranks 0)
  list(TRANSFORM all_ranks PREPEND ${name}.ranks OUTPUT_VARIABLE with_ranks)
  if(all_ranks)
    set(tests ${with_ranks})
  endif()
  foreach(test IN LISTS tests)
    set(command ${program})
    if(all_ranks)
      string(REGEX REPLACE ".*[.]ranks" "" ranks ${test})
      set(command ${CMAKE_SOURCE_DIR}/tests/support/mpirun ${ranks} $<TARGET_FILE:${program}>)
    else()
      list(APPEND environment ${started_ranks})
    endif()
    add_test(NAME ${test} COMMAND ${command})
    masformer_schedule(${test} ${ranks})
    set_tests_properties(${test} PROPERTIES TIMEOUT ${masformer_test_timeout}
      ENVIRONMENT "MASFORMER_BINARY=${CMAKE_BINARY_DIR}/masformer;MASFORMER_TEST_DEVICE=cuda;MASFORMER_PLUGINS=${folder};${environment}")
    if(kind STREQUAL gpu)
      set_tests_properties(${test} PROPERTIES LABELS gpu
        SKIP_REGULAR_EXPRESSION "this machine has no CUDA device")
      list(JOIN environment " " words)
      set_property(GLOBAL APPEND_STRING PROPERTY MASFORMER_GPU_TESTS
        "${test} ${program} ${ranks} ${words}\n")
      set_property(GLOBAL APPEND PROPERTY MASFORMER_GPU_PROGRAMS ${program})
    endif()
  endforeach()
endfunction()

# masformer_rendezvous_test(NAME RANKS n... [FILTER tests]): runs a test that masformer_test made without
# eager messages, too (OpenMPI's smallest limit is 56 bytes): a send does not end before its receive.
function(masformer_rendezvous_test name)
  cmake_parse_arguments(arg "" "FILTER" "RANKS" ${ARGN})
  set(no_eager_messages MASFORMER_TEST_RENDEZVOUS=1 OMPI_MCA_pml=ob1
    OMPI_MCA_btl_vader_eager_limit=64 OMPI_MCA_btl_self_eager_limit=64)
  if(arg_FILTER)
    list(APPEND no_eager_messages GTEST_FILTER=${arg_FILTER})
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    set(test ${name}.rendezvous.ranks${ranks})
    add_test(NAME ${test}
      COMMAND ${CMAKE_SOURCE_DIR}/tests/support/mpirun ${ranks} $<TARGET_FILE:${name}>)
    masformer_schedule(${test} ${ranks})
    set_tests_properties(${test} PROPERTIES TIMEOUT ${masformer_test_timeout}
      ENVIRONMENT "${no_eager_messages}")
  endforeach()
endfunction()
