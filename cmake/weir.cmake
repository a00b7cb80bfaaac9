# Targets of this project. A library's headers are reachable only through a link to it: its include
# directory holds one symlink with its own name, so a wrong #include does not compile.

find_package(GTest REQUIRED)
include(GoogleTest)

# What ./run and ./test build: the programs, the skeletons, and the test programs of one kind.
add_custom_target(programs)
add_custom_target(skeletons)
foreach(label unit compile packet net fuzz)
  add_custom_target(tests_${label})
endforeach()

# What is built does not depend on where.
set(weir_no_paths -ffile-prefix-map=${CMAKE_SOURCE_DIR}=weir)
set(weir_warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wswitch)

function(weir_options target)
  target_compile_options(${target} PRIVATE ${weir_warnings} $<$<BOOL:${WEIR_WERROR}>:-Werror>
    ${weir_no_paths})
  if(WEIR_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${WEIR_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${WEIR_SANITIZE})
  endif()
endfunction()

# weir_headers(name dir): an interface library `weir_<name>` that makes `#include "<name>/x.h"` work.
function(weir_headers name dir)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/include/${name})
  file(CREATE_LINK ${dir} ${CMAKE_BINARY_DIR}/include/${name}/${name} SYMBOLIC)
  add_library(weir_${name} INTERFACE)
  target_include_directories(weir_${name} INTERFACE ${CMAKE_BINARY_DIR}/include/${name})
endfunction()

# weir_library(name SOURCES ... DEPS ... TESTS ... TEST_DEPS ...)
#   builds weir_<name> from this folder, and the unit tests <name>_test from TESTS.
function(weir_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;TESTS;TEST_DEPS" ${ARGN})
  add_library(weir_${name} STATIC ${arg_SOURCES})
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/include/${name})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_BINARY_DIR}/include/${name}/${name} SYMBOLIC)
  target_include_directories(weir_${name} PUBLIC ${CMAKE_BINARY_DIR}/include/${name})
  target_link_libraries(weir_${name} PUBLIC ${arg_DEPS})
  weir_options(weir_${name})
  if(arg_TESTS)
    weir_test(${name}_test LABEL unit SOURCES ${arg_TESTS} DEPS weir_${name} ${arg_TEST_DEPS})
  endif()
endfunction()

# weir_program(name SOURCES ... DEPS ...): an executable in bin/
function(weir_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  weir_options(${name})
  add_dependencies(programs ${name})
endfunction()

# weir_test(name LABEL unit|compile|packet|net|fuzz SOURCES ... DEPS ...): GoogleTest cases, each one a
# ctest test named <path of this folder>/<Suite.Case>.
function(weir_test name)
  cmake_parse_arguments(arg "" "LABEL" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  add_dependencies(tests_${arg_LABEL} ${name})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${arg_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  weir_options(${name})
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  gtest_discover_tests(${name} TEST_PREFIX "${folder}/" DISCOVERY_MODE PRE_TEST
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    PROPERTIES LABELS ${arg_LABEL} TIMEOUT 300)
endfunction()

# weir_fuzz(name SOURCES ... DEPS ...): a libFuzzer program that ./test runs for some seconds from the
# inputs in seeds/<name>/ of this folder. Only clang has libFuzzer: preset fuzz.
function(weir_fuzz name)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  set(found ${CMAKE_CURRENT_BINARY_DIR}/${name}.corpus)
  file(MAKE_DIRECTORY ${found})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  weir_options(${name})
  add_dependencies(tests_fuzz ${name})
  add_test(NAME tests/fuzz/${name}
    COMMAND sh -c "exec \"$@\" -max_total_time=\${WEIR_FUZZ_SECONDS:-60}" sh
      $<TARGET_FILE:${name}> -timeout=60 -rss_limit_mb=1024 -print_final_stats=1
      -artifact_prefix=${CMAKE_CURRENT_BINARY_DIR}/${name}. ${found}
      ${CMAKE_CURRENT_SOURCE_DIR}/seeds/${name})
  set_tests_properties(tests/fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 3600)
endfunction()

# weir_bpf(name [SOURCE file] [SKELETON name] [ABI folder DEPENDS file ...] [AROUND folder]): <name>.bpf.c in this folder
# -> object, skeleton, target weir_bpf_<name> whose users may `#include "<name>.skel.h"`. With ABI, another
# folder that has abi/, made with DEPENDS; with AROUND, the source includes those of that folder.
function(weir_bpf name)
  cmake_parse_arguments(arg "" "SOURCE;SKELETON;ABI;AROUND" "DEPENDS" ${ARGN})
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${name}.bpf.c)
  set(skeleton_name ${name})
  set(abi ${CMAKE_BINARY_DIR}/include/abi)
  if(arg_SOURCE)
    set(source ${arg_SOURCE})
  endif()
  if(arg_SKELETON)
    set(skeleton_name ${arg_SKELETON})
  endif()
  if(arg_ABI)
    set(abi ${arg_ABI})
  endif()
  set(around)
  if(arg_AROUND)
    set(around -I${arg_AROUND})
  endif()
  cmake_path(GET source PARENT_PATH folder)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/skel/${skeleton_name}.skel.h)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/skel)
  add_custom_command(OUTPUT ${object}
    COMMAND ${WEIR_CLANG} -target bpf -mcpu=v3 -O2 -g -std=gnu17 ${weir_no_paths}
      -Wall -Wextra -Werror -Wshadow -Wno-unused-parameter -Wno-address-of-packed-member
      -I${abi} -I${folder} ${around} -I${WEIR_LIBBPF}/include
      -idirafter /usr/include/x86_64-linux-gnu
      -MD -MF ${object}.d -c ${source} -o ${object}
    COMMAND ${WEIR_LLVM_STRIP} -g ${object}
    DEPENDS ${source} ${arg_DEPENDS}
    DEPFILE ${object}.d VERBATIM)
  add_custom_command(OUTPUT ${skeleton}
    COMMAND sh -c "${WEIR_BPFTOOL} gen skeleton ${object} name ${skeleton_name}_bpf >${skeleton}.tmp && mv ${skeleton}.tmp ${skeleton}"
    DEPENDS ${object} VERBATIM)
  add_custom_target(bpf_${name} DEPENDS ${skeleton})
  add_dependencies(skeletons bpf_${name})
  add_library(weir_bpf_${name} INTERFACE)
  add_dependencies(weir_bpf_${name} bpf_${name})
  target_include_directories(weir_bpf_${name} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR}/skel)
  target_link_libraries(weir_bpf_${name} INTERFACE weir_libbpf)
endfunction()
