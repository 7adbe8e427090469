/**
 * A key and its self-signed certificate for `shop.example`, only for tests of TLS. It is valid for a hundred
 * years, and no program trusts it.
 */
export const tlsName = 'shop.example';

export const tlsKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwWhREGs3u5Ueh+dy
B3GW1U0nfC3OAnEShshO3b3AoLehRANCAASoHLqxL0I+eV4YDtqODRMT1ezbuiry
1mOCPt/pa7MtWAdzDhUU/AoHH4KRZKw22LI9IUR8ehShrktQNqO6bJKV
-----END PRIVATE KEY-----`;

export const tlsCertificate = `-----BEGIN CERTIFICATE-----
MIIBnzCCAUSgAwIBAgIUOuogdUhhwD+Pi1jebGYQ1VmHX4cwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMc2hvcC5leGFtcGxlMCAXDTI2MTEyMDIzMDIwMloYDzIxMjYx
MDI3MjMwMjAyWjAXMRUwEwYDVQQDDAxzaG9wLmV4YW1wbGUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAASoHLqxL0I+eV4YDtqODRMT1ezbuiry1mOCPt/pa7MtWAdz
DhUU/AoHH4KRZKw22LI9IUR8ehShrktQNqO6bJKVo2wwajAdBgNVHQ4EFgQU3zbb
KiT20C/R8wcyD487xhBNT2YwHwYDVR0jBBgwFoAU3zbbKiT20C/R8wcyD487xhBN
T2YwDwYDVR0TAQH/BAUwAwEB/zAXBgNVHREEEDAOggxzaG9wLmV4YW1wbGUwCgYI
KoZIzj0EAwIDSQAwRgIhAKnuWZXXfjqkxfvWucTelH6j8D2EaFFrGKmuq6WtN9Zp
AiEAmA8NBhhZuBn4ADE2DF26VCiHGCYDRlKAd0CxYueK/Kc=
-----END CERTIFICATE-----`;
