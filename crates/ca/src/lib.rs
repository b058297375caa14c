//! Layer 4. Issuing certificates and rotating issuers. Own crate: the proxy must not contain a signing CA.
