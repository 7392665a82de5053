use telegen_model::Secret;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

const ENGINE: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

#[test]
fn keys_are_those_of_the_appendix_of_rfc_3414() {
    let md5 = MasterKey::new(AuthProtocol::Md5, b"maplesyrup").unwrap();
    assert_eq!(hex(&AuthProtocol::Md5.stretch(b"maplesyrup")), "9faf3283884e92834ebc9847d8edd963");
    assert_eq!(hex(&md5.localise(&ENGINE)), "526f5eed9fcce26f8964c2930787d82b");
    let sha = MasterKey::new(AuthProtocol::Sha1, b"maplesyrup").unwrap();
    assert_eq!(hex(&AuthProtocol::Sha1.stretch(b"maplesyrup")), "9fb5cc0381497b3793528939ff788d5d79145211");
    assert_eq!(hex(&sha.localise(&ENGINE)), "6695febc9288e36282235fc7151f128497b38f3f");
    assert_eq!(MasterKey::new(AuthProtocol::Md5, b""), None);
}

#[test]
fn what_is_encrypted_comes_back_and_lies_are_refused() {
    for auth in AuthProtocol::ALL {
        for cipher in PrivProtocol::ALL {
            let secret = || Secret::new("maplesyrup");
            let user = User::new("u", Some((auth, secret())), Some((cipher, secret()))).unwrap();
            let keys = user.localise(&ENGINE);
            let plain = b"thirty-one bytes of plain text.".to_vec();
            let mut data = plain.clone();
            cipher.encrypt(&keys.privacy, (3, 99), [1, 2, 3, 4, 5, 6, 7, 8], &mut data);
            assert_ne!(data[..16], plain[..16]);
            let mut back = data.clone();
            cipher.decrypt(&keys.privacy, (3, 99), &[1, 2, 3, 4, 5, 6, 7, 8], &mut back).unwrap();
            assert_eq!(back[..31], plain, "{auth} {cipher}");
            assert_eq!(cipher.decrypt(&keys.privacy, (3, 99), &[1; 7], &mut back), Err(PrivError));
            if cipher == PrivProtocol::Des {
                assert_eq!(cipher.decrypt(&keys.privacy, (0, 0), &[1; 8], &mut back[..31]), Err(PrivError));
            }
        }
    }
}

#[test]
fn a_proof_fits_one_message_and_one_key() {
    for auth in AuthProtocol::ALL {
        let key = MasterKey::new(auth, b"maplesyrup").unwrap().localise(&ENGINE);
        let mut message = vec![7; 100];
        message[20..20 + auth.proof_len()].fill(0);
        let mut proof = vec![0; auth.proof_len()];
        auth.sign(&key, &[&message], &mut proof);
        message[20..20 + auth.proof_len()].copy_from_slice(&proof);
        assert!(auth.verify(&key, &message, 20));
        assert!(!auth.verify(&key[1..], &message, 20));
        assert!(!auth.verify(&key, &message, 19) && !auth.verify(&key, &message, 99));
        message[99] ^= 1;
        assert!(!auth.verify(&key, &message, 20));
    }
}

#[test]
fn users_that_cannot_be_are_refused() {
    let long = || Secret::new("long enough");
    let auth = || Some((AuthProtocol::Sha256, long()));
    let des = || Some((PrivProtocol::Des, long()));
    assert_eq!(User::new("", auth(), None).err(), Some(UserError::Name));
    assert_eq!(User::new("u", None, des()).err(), Some(UserError::PrivWithoutAuth));
    let short = Some((AuthProtocol::Sha256, Secret::new("seven77")));
    assert_eq!(User::new("u", short, None).err(), Some(UserError::ShortPassword));
    let user = User::new("u", auth(), des()).unwrap();
    assert_eq!(user.level(), Level::AuthPriv);
    assert!(!format!("{user:?} {:?}", user.localise(b"engine")).contains("enough"));
}
