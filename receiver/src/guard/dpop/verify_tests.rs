//! RFC 9449's own proofs, and one failure for every check.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ssf_common::clock::Timestamp;
use ssf_common::jwks::{Algorithm, SigningKey};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_000_000);
const URI: &str = "https://api.example/things";

/// RFC 9449 §4.1, figure 1.
const AT_THE_TOKEN_ENDPOINT: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj\
oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia\
WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg\
4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
/// RFC 9449 §7.1, with the access token it is shown with and the thumbprint of §6.1.
const AT_THE_RESOURCE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj\
oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z\
WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF\
c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E\
OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const ITS_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const ITS_THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn headers(proofs: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for proof in proofs {
        headers.append("DPoP", HeaderValue::from_str(proof).unwrap());
    }
    headers
}

fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let encoded = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let content = format!("{}.{}", encoded(header), encoded(claims));
    let signature = key.sign(content.as_bytes()).unwrap();
    format!("{content}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn parts(key: &SigningKey) -> (Value, Value) {
    let header = json!({"typ": "dpop+jwt", "alg": key.algorithm(), "jwk": key.public_jwk()});
    let ath = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest("token"));
    let claims = json!({"jti": "one", "htm": "GET", "htu": URI, "iat": NOW.unix_seconds(), "ath": ath});
    (header, claims)
}

fn changed(part: &Value, member: &str, value: &Value) -> Value {
    let mut part = part.clone();
    if value.is_null() {
        part.as_object_mut().unwrap().remove(member);
    } else {
        part[member] = value.clone();
    }
    part
}

/// As if it were the first proof ever seen.
fn judged(raw: &str) -> Result<VerifiedProof, DpopRefusal> {
    let target = Target::of(URI).unwrap();
    Verifier::new(DpopPolicy::default()).verify(&headers(&[raw]), "GET", &target, Some("token"), NOW)
}

#[test]
fn the_proofs_of_rfc_9449_verify() {
    let verifier = Verifier::new(DpopPolicy::default());
    let (token, resource) =
        (Target::of("https://server.example.com/token"), Target::of("https://resource.example.org/protectedresource"));
    let at = |seconds| Timestamp::from_unix_seconds(seconds);
    let proof = verifier.verify(&headers(&[AT_THE_TOKEN_ENDPOINT]), "POST", &token.unwrap(), None, at(1_562_262_616));
    assert_eq!(proof.unwrap().thumbprint(), ITS_THUMBPRINT);
    let (shown, resource) = (headers(&[AT_THE_RESOURCE]), resource.unwrap());
    let other = verifier.verify(&shown, "GET", &resource, Some("another token"), at(1_562_262_618));
    assert_eq!(other, Err(DpopRefusal::WrongToken), "and what was refused is not used up");
    let proof = verifier.verify(&shown, "GET", &resource, Some(ITS_TOKEN), at(1_562_262_618)).unwrap();
    assert!(proof.is_by(ITS_THUMBPRINT) && !proof.is_by("") && !proof.is_by(&ITS_THUMBPRINT.to_lowercase()));
    let again = verifier.verify(&shown, "GET", &resource, Some(ITS_TOKEN), at(1_562_262_619));
    assert_eq!(again, Err(DpopRefusal::Replayed));
}

#[test]
fn every_algorithm_of_ours_is_accepted_unless_the_policy_says_otherwise() {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let (header, claims) = parts(&key);
        let proof = signed(&key, &header, &claims);
        assert_eq!(judged(&proof).unwrap().thumbprint(), key.key_id().as_str());
        let others = Algorithm::ALL.into_iter().filter(|other| *other != algorithm).collect();
        let strict = Verifier::new(DpopPolicy { algorithms: others, ..DpopPolicy::default() });
        let refused = strict.verify(&headers(&[&proof]), "GET", &Target::of(URI).unwrap(), Some("token"), NOW);
        assert_eq!(refused, Err(DpopRefusal::AlgorithmNotAllowed));
    }
}

#[test]
fn each_check_refuses_a_proof_that_fails_it_alone() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let (header, claims) = parts(&key);
    judged(&signed(&key, &header, &claims)).unwrap();
    let private =
        json!(serde_json::from_str::<Value>(secrecy::ExposeSecret::expose_secret(&key.to_private_jwk())).unwrap());
    let bad_headers = [
        ("typ", json!(null), DpopRefusal::WrongType),
        ("typ", json!("JWT"), DpopRefusal::WrongType),
        ("typ", json!("at+jwt"), DpopRefusal::WrongType),
        ("crit", json!(["x"]), DpopRefusal::CriticalHeader),
        ("alg", json!(null), DpopRefusal::AlgorithmNotAllowed),
        ("alg", json!("none"), DpopRefusal::AlgorithmNotAllowed),
        ("alg", json!("HS256"), DpopRefusal::AlgorithmNotAllowed),
        ("alg", json!("RS256"), DpopRefusal::BadKey),
        ("jwk", json!(null), DpopRefusal::BadKey),
        ("jwk", json!("text"), DpopRefusal::BadKey),
        ("jwk", json!({"kty": "oct", "k": "AAAA"}), DpopRefusal::BadKey),
        ("jwk", private, DpopRefusal::BadKey),
        ("jwk", other.public_jwk().clone(), DpopRefusal::BadSignature),
    ];
    for (member, value, refusal) in bad_headers {
        let said = judged(&signed(&key, &changed(&header, member, &value), &claims));
        assert_eq!(said, Err(refusal), "{member} {value}");
    }
    let seconds = NOW.unix_seconds();
    let bad_claims = [
        ("jti", json!(null), DpopRefusal::Claim("jti")),
        ("jti", json!(""), DpopRefusal::Claim("jti")),
        ("jti", json!(7), DpopRefusal::Claim("jti")),
        ("jti", json!("j".repeat(513)), DpopRefusal::Claim("jti")),
        ("htm", json!(null), DpopRefusal::Claim("htm")),
        ("htm", json!("POST"), DpopRefusal::WrongMethod),
        ("htm", json!("get"), DpopRefusal::WrongMethod),
        ("htu", json!(null), DpopRefusal::Claim("htu")),
        ("htu", json!("https://api.example/other"), DpopRefusal::WrongTarget),
        ("htu", json!("http://api.example/things"), DpopRefusal::WrongTarget),
        ("htu", json!("nonsense"), DpopRefusal::WrongTarget),
        ("iat", json!(null), DpopRefusal::Claim("iat")),
        ("iat", json!("1"), DpopRefusal::Claim("iat")),
        ("iat", json!(seconds * 1_000), DpopRefusal::Claim("iat")),
        ("iat", json!(seconds - 61), DpopRefusal::NotNow),
        ("iat", json!(seconds + 6), DpopRefusal::NotNow),
        ("ath", json!(null), DpopRefusal::Claim("ath")),
        ("ath", json!("AAAA"), DpopRefusal::WrongToken),
    ];
    for (member, value, refusal) in bad_claims {
        let said = judged(&signed(&key, &header, &changed(&claims, member, &value)));
        assert_eq!(said, Err(refusal), "{member} {value}");
    }
    for (member, value) in [
        ("iat", json!(seconds - 60)),
        ("iat", json!(seconds + 5)),
        ("htu", json!("HTTPS://API.example:443/things?x#y")),
    ] {
        judged(&signed(&key, &header, &changed(&claims, member, &value))).unwrap();
    }
    let mut forged = signed(&key, &header, &claims);
    forged.replace_range(forged.len() - 4.., "AAAA");
    assert_eq!(judged(&forged), Err(DpopRefusal::BadSignature));
    let (verifier, target, good) =
        (Verifier::new(DpopPolicy::default()), Target::of(URI).unwrap(), signed(&key, &header, &claims));
    let verify = |proofs: &[&str]| verifier.verify(&headers(proofs), "GET", &target, Some("token"), NOW);
    assert_eq!(verify(&[]), Err(DpopRefusal::NotOne));
    assert_eq!(verify(&[&good, &good]), Err(DpopRefusal::NotOne));
    for garbage in ["", "a.b.c", "e30.e30", &format!("{good}, {good}"), &"a".repeat(9_000)] {
        assert_eq!(verify(&[garbage]), Err(DpopRefusal::NotAJwt), "{garbage}");
    }
}

#[test]
fn a_server_that_gives_nonces_asks_for_one_of_them() {
    let nonces = Nonces::new(vec![7; 32].into(), Duration::from_mins(1));
    let verifier = Verifier::new(DpopPolicy { nonces: Some(nonces.clone()), ..DpopPolicy::default() });
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let (header, claims) = parts(&key);
    let verify = |nonce: Value| {
        let proof = signed(&key, &header, &changed(&claims, "nonce", &nonce));
        verifier.verify(&headers(&[&proof]), "GET", &Target::of(URI).unwrap(), Some("token"), NOW)
    };
    for wrong in [json!(null), json!(7), json!("made up"), json!(nonces.fresh(NOW.minus(Duration::from_secs(61))))] {
        assert_eq!(verify(wrong.clone()), Err(DpopRefusal::UseNonce), "{wrong}");
    }
    verify(json!(nonces.fresh(NOW.minus(Duration::from_secs(5))))).unwrap();
}

proptest! {
    #[test]
    fn no_text_of_a_stranger_does_more_than_be_refused(
        header in "\\{(\"(typ|alg|jwk|crit)\": ?(\"dpop\\+jwt\"|\"ES256\"|\\{\\}|null|1e999),?){0,3}\\}",
        payload in "\\PC{0,40}",
        raw in "[A-Za-z0-9_.-]{0,80}",
    ) {
        let encoded = |part: &str| BASE64_URL_SAFE_NO_PAD.encode(part);
        let built = format!("{}.{}.AAAA", encoded(&header), encoded(&payload));
        prop_assert!(judged(&built).is_err());
        prop_assert!(judged(&raw).is_err());
    }
}
