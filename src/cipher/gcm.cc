#include "cipher/gcm.hh"

#include <openssl/crypto.h>

#include <algorithm>

namespace holdfast {

IMB_MGR* Gcm::library()
{
  static IMB_MGR* const made = [] {
    IMB_MGR* const manager = ::alloc_mb_mgr( 0 );
    if ( manager != nullptr ) {
      ::init_mb_mgr_auto( manager, nullptr );
    }
    return manager;
  }();
  return made;
}

Gcm::~Gcm()
{
  ::OPENSSL_cleanse( this, sizeof *this );
}

bool Gcm::begin( bool encrypts, Bytes key, Bytes nonce )
{
  if ( ( not key.empty() and key.size() != key_size ) or ( not nonce.empty() and nonce.size() != nonce_size ) ) {
    return false;
  }
  encrypts_ = encrypts;
  if ( not key.empty() ) {
    IMB_AES128_GCM_PRE( library(), key.data(), &key_ );
    has_key_ = true;
    stage_ = Stage::idle;
  }
  if ( not nonce.empty() ) {
    std::copy( nonce.begin(), nonce.end(), nonce_.begin() );
    stage_ = Stage::begun;
  }
  return true;
}

bool Gcm::authenticate( Bytes additional )
{
  if ( stage_ != Stage::begun or not has_key_ ) {
    return false;
  }
  IMB_AES128_GCM_INIT( library(), &key_, &message_, nonce_.data(), additional.data(), additional.size() );
  stage_ = Stage::message;
  return true;
}

bool Gcm::transform( unsigned char* to, Bytes from )
{
  if ( stage_ != Stage::message and not authenticate( {} ) ) {
    return false;
  }
  if ( encrypts_ ) {
    IMB_AES128_GCM_ENC_UPDATE( library(), &key_, &message_, to, from.data(), from.size() );
  } else {
    IMB_AES128_GCM_DEC_UPDATE( library(), &key_, &message_, to, from.data(), from.size() );
  }
  return true;
}

bool Gcm::finish()
{
  if ( stage_ != Stage::message and not authenticate( {} ) ) {
    return false;
  }
  stage_ = Stage::ended;
  if ( encrypts_ ) {
    IMB_AES128_GCM_ENC_FINALIZE( library(), &key_, &message_, tag_.data(), tag_.size() );
    return true;
  }
  std::array<unsigned char, tag_size> calculated {};
  IMB_AES128_GCM_DEC_FINALIZE( library(), &key_, &message_, calculated.data(), calculated.size() );
  const bool is_expected = expects_ and ::CRYPTO_memcmp( calculated.data(), tag_.data(), tag_size ) == 0;
  expects_ = false;
  return is_expected;
}

bool Gcm::expect( Bytes tag )
{
  if ( encrypts_ or tag.size() != tag_size ) {
    return false;
  }
  std::copy( tag.begin(), tag.end(), tag_.begin() );
  expects_ = true;
  return true;
}

Gcm::Bytes Gcm::tag() const
{
  return encrypts_ and stage_ == Stage::ended ? Bytes { tag_ } : Bytes {};
}

} // namespace holdfast
