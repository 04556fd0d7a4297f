# The page's files as a source of the program: ${page_files_source}.
set(page_files
  index.html icon.svg base.css chat.css text.css dashboard.css early.js
  announce.js answer.js api.js app.js charts.js chat.js composer.js conversation.js copy.js dashboard.js dom.js highlight.js icons.js
  inline.js keep.js markdown.js maths.js message.js notices.js prometheus.js render.js series.js settings.js shortcuts.js
  sidebar.js sse.js store.js symbols.js theme.js timeline.js transfer.js)
list(TRANSFORM page_files PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/page/)
set(page_files_source ${CMAKE_CURRENT_BINARY_DIR}/page_files.cpp)
add_custom_command(OUTPUT ${page_files_source}
  COMMAND ${CMAKE_COMMAND} "-DFILES=${page_files}" -DOUTPUT=${page_files_source} -P ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
  DEPENDS ${page_files} ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
  COMMENT "Putting the page into the program" VERBATIM)
