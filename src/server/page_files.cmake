# page_files.cmake - files to one C source that holds their bytes (page_files.h):
#   cmake -DOUT=page_files.c -DFILES="a;b" -P page_files.cmake
set(types_html "text/html; charset=utf-8")
set(types_css "text/css; charset=utf-8")
set(types_js "text/javascript; charset=utf-8")
set(types_svg "image/svg+xml")
set(arrays "")
set(rows "")
set(number 0)
foreach(path ${FILES})
    get_filename_component(name ${path} NAME)
    string(REGEX REPLACE "^.*\\." "" kind ${name})
    file(READ ${path} hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(APPEND arrays "static const uint8_t file_${number}[] = {${bytes}};\n")
    string(APPEND rows
        "    {\"${name}\", \"${types_${kind}}\", file_${number}, sizeof file_${number}},\n")
    math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "/* made by page_files.cmake */
#include \"server/page_files.h\"

${arrays}
const fb_page_file fb_page_files[] = {
${rows}};
const int32_t fb_page_file_count = ${number};
")
