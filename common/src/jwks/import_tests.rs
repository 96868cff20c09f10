//! Keys from elsewhere: every form that is taken, and what is refused by its reason.

use openssl::symm::Cipher;

use super::*;

fn import(text: impl AsRef<str>) -> Result<SigningKey, ImportError> {
    SigningKey::import(&text.as_ref().into(), None)
}

fn rsa(bits: u32) -> Rsa<Private> {
    Rsa::generate(bits).unwrap()
}

fn ec(curve: Nid) -> EcKey<Private> {
    EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()
}

fn pem(bytes: Result<Vec<u8>, openssl::error::ErrorStack>) -> String {
    String::from_utf8(bytes.unwrap()).unwrap()
}

#[test]
fn every_form_of_pem_becomes_a_key_that_verifies() {
    let (rsa, ec) = (rsa(2048), ec(Nid::X9_62_PRIME256V1));
    let sec1 = pem(ec.private_key_to_pem());
    let cases = [
        (pem(PKey::from_rsa(rsa.clone()).unwrap().private_key_to_pem_pkcs8()), Algorithm::Rs256),
        (pem(rsa.private_key_to_pem()), Algorithm::Rs256),
        (pem(PKey::from_ec_key(ec).unwrap().private_key_to_pem_pkcs8()), Algorithm::Es256),
        // as `openssl ecparam -genkey` writes it: the parameters first
        (
            format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{sec1}"),
            Algorithm::Es256,
        ),
        (sec1, Algorithm::Es256),
        (pem(PKey::generate_ed25519().unwrap().private_key_to_pem_pkcs8()), Algorithm::EdDsa),
    ];
    for (text, algorithm) in cases {
        let key = import(format!("\n{text}\n")).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(key.key_id().as_str().len(), 43, "the thumbprint");
    }
    let pss = SigningKey::import(&pem(rsa.private_key_to_pem()).into(), Some(Algorithm::Ps256)).unwrap();
    assert_eq!(pss.algorithm(), Algorithm::Ps256);
}

#[test]
fn a_jwk_keeps_its_kid_and_loses_what_does_not_belong_there() {
    for algorithm in Algorithm::ALL {
        let ours = SigningKey::generate(algorithm).unwrap();
        let mut jwk: Value = serde_json::from_str(ours.to_private_jwk().expose_secret()).unwrap();
        jwk["kid"] = json!("2026/one");
        jwk["key_ops"] = json!(["sign"]);
        jwk["x5c"] = json!(["garbage"]);
        let key = import(jwk.to_string()).unwrap();
        assert_eq!((key.key_id().as_str(), key.algorithm()), ("2026/one", algorithm));
        let mut same = ours.public_jwk().clone();
        same["kid"] = json!("2026/one");
        assert_eq!(*key.public_jwk(), same);
        assert!(!key.to_private_jwk().expose_secret().contains("\"x5c\""));
        jwk.as_object_mut().unwrap().remove("kid");
        assert_eq!(import(jwk.to_string()).unwrap().key_id(), ours.key_id(), "without one it is the thumbprint");
    }
}

#[test]
fn what_cannot_sign_is_refused_by_its_reason() {
    let pkcs8 = PKey::from_rsa(rsa(2048)).unwrap();
    let encrypted = pem(pkcs8.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"secret"));
    let traditional = pem(pkcs8.rsa().unwrap().private_key_to_pem_passphrase(Cipher::aes_128_cbc(), b"secret"));
    let whole = pem(pkcs8.private_key_to_pem_pkcs8());
    let cases = [
        (String::new(), ImportError::NotAKey),
        ("{".to_owned(), ImportError::NotAKey),
        (encrypted, ImportError::Encrypted),
        (traditional, ImportError::Encrypted),
        (pem(pkcs8.public_key_to_pem()), ImportError::Public),
        (whole.replace('M', "N"), ImportError::Broken),
        (pem(rsa(1024).private_key_to_pem()), ImportError::ShortRsa),
        (pem(ec(Nid::SECP384R1).private_key_to_pem()), ImportError::Kind),
        (pem(PKey::generate_x25519().unwrap().private_key_to_pem_pkcs8()), ImportError::Kind),
        (json!({"keys": []}).to_string(), ImportError::Set),
        (json!({"kty": "oct", "k": "AAAA"}).to_string(), ImportError::Kind),
    ];
    for (text, reason) in cases {
        assert_eq!(import(text).unwrap_err(), reason);
    }
}

#[test]
fn a_jwk_that_contradicts_itself_is_refused() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let [one, other] = [(); 2].map(|()| {
            let key = SigningKey::generate(algorithm).unwrap();
            serde_json::from_str::<Value>(key.to_private_jwk().expose_secret()).unwrap()
        });
        let with = |name: &str, value: Value| {
            let mut jwk = one.clone();
            jwk[name] = value;
            import(jwk.to_string()).unwrap_err()
        };
        let part = if algorithm == Algorithm::Rs256 { "n" } else { "x" };
        assert_eq!(with(part, other[part].clone()), ImportError::Inconsistent, "{algorithm}");
        assert!(matches!(with("d", json!("*")), ImportError::Member("d")));
        assert_eq!(with("use", json!("enc")), ImportError::NotForSignatures);
        assert_eq!(with("key_ops", json!(["verify"])), ImportError::NotForSignatures);
        assert_eq!(with("alg", json!("HS256")), ImportError::UnknownAlgorithm);
        assert_eq!(with("kid", json!("a\nb")), ImportError::KeyId);
        let mut public = one.clone();
        public.as_object_mut().unwrap().remove("d");
        assert_eq!(import(public.to_string()).unwrap_err(), ImportError::Public);
        let asked = SigningKey::import(&one.to_string().into(), Some(Algorithm::Ps256)).unwrap_err();
        assert_eq!(asked, ImportError::OtherAlgorithm(algorithm));
    }
    let ec = pem(ec(Nid::X9_62_PRIME256V1).private_key_to_pem());
    let asked = SigningKey::import(&ec.into(), Some(Algorithm::Rs256)).unwrap_err();
    assert_eq!(asked.to_string(), "a P-256 key cannot sign with RS256");
}
