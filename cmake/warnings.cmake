# Every target of ours is compiled with these; warnings become errors through the presets, not here, so that a
# packager with another compiler is not stopped by a new warning.
add_library( holdfast_warnings INTERFACE )
target_compile_options( holdfast_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor
  -Woverloaded-virtual -Wimplicit-fallthrough -Wswitch-enum -Wformat=2 )

# holdfast_library( name sources... ): a folder of src/ as a library. It exports only the folder's parent as an
# include path of its own, so that "core/frame.hh" is reachable for those who link it and for nobody else.
function( holdfast_library name )
  add_library( holdfast_${name} STATIC ${ARGN} )
  # Includes are written "core/frame.hh"; the folder is reachable through a private directory of links.
  set( exported ${CMAKE_BINARY_DIR}/exported/${name} )
  file( MAKE_DIRECTORY ${exported} )
  file( CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${exported}/${name} SYMBOLIC )
  target_include_directories( holdfast_${name} PUBLIC ${exported} )
  target_link_libraries( holdfast_${name} PRIVATE holdfast_warnings )
endfunction()
