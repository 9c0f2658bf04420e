// Runs a fuzz target over files and folders named on the command line: the corpus, in builds without libFuzzer.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size );

int main( int argc, char** argv )
{
  int files = 0;
  for ( int i = 1; i < argc; ++i ) {
    for ( const auto& entry : std::filesystem::recursive_directory_iterator( argv[i] ) ) {
      if ( entry.is_regular_file() ) {
        std::ifstream file { entry.path(), std::ios::binary };
        const std::vector<char> bytes { std::istreambuf_iterator<char> { file }, {} };
        LLVMFuzzerTestOneInput( reinterpret_cast<const std::uint8_t*>( bytes.data() ), bytes.size() );
        ++files;
      }
    }
  }
  std::printf( "%d inputs\n", files );
  return files > 0 ? 0 : 1;
}
