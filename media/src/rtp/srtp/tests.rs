use super::cipher::{Cipher, Stream};
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|b| (b as char).to_digit(16).map(|d| d as u8))
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn key(suite: SrtpSuite, first: u8) -> SrtpKey {
    let material: Vec<u8> = (0..suite.material_len() as u8).map(|n| n ^ first).collect();
    SrtpKey::new(suite, &material).unwrap()
}

fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0x00];
    packet.extend(sequence.to_be_bytes());
    packet.extend(1_000_u32.to_be_bytes());
    packet.extend(0xdecafbad_u32.to_be_bytes());
    packet.extend((0..160).map(|n| n as u8));
    packet
}

fn protected(sender: &mut SrtpSender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; packet.len() + OVERHEAD_MAX];
    buffer[..packet.len()].copy_from_slice(packet);
    let len = sender.protect_rtp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(len);
    buffer
}

/// RFC 3711 appendix B.3: key derivation.
#[test]
fn session_keys_are_those_of_the_rfc() {
    let material = hex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6");
    let key = SrtpKey::new(SrtpSuite::AesCm128HmacSha1_80, &material).unwrap();
    let Cipher::Counter { salt, .. } = Cipher::new(&key, Stream::Rtp) else {
        panic!("counter mode");
    };
    assert_eq!(salt.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
}

/// RFC 3711 appendix B.2: the key stream of AES in counter mode.
#[test]
fn the_key_stream_is_that_of_the_rfc() {
    use aes::cipher::KeyInit as _;
    let session = hex("2B7E151628AED2A6ABF7158809CF4F3C");
    let cipher = Cipher::Counter {
        aes: Box::new(aes::Aes128::new_from_slice(&session).unwrap()),
        salt: hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap(),
        mac: Box::new(hmac::Mac::new_from_slice(b"").unwrap()),
        tag: 10,
    };
    let mut data = [0; 48];
    cipher.apply(0, 0, &mut data);
    let expected = hex(
        "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB \
         41E95B3BB0A2E8DD477901E4FCA894C0",
    );
    assert_eq!(data.to_vec(), expected);
}

/// RFC 7714 §16.1.1 gives session key, salt and packets of AES-128-GCM; the key is used as the
/// session key here, as the RFC does.
#[test]
fn a_gcm_packet_is_that_of_the_rfc() {
    use aes_gcm::KeyInit as _;
    let session = hex("000102030405060708090a0b0c0d0e0f");
    let cipher = Cipher::Gcm128 {
        aead: Box::new(aes_gcm::Aes128Gcm::new_from_slice(&session).unwrap()),
        salt: hex("517569642070726f2071756f").try_into().unwrap(),
    };
    let header = hex("8040f17b 8041f8d3 5501a0b2");
    let mut payload = hex(
        "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573",
    );
    let iv = cipher.iv(0x5501_a0b2, 0xf17b);
    assert_eq!(iv.to_vec(), hex("51753c6580c2726f20718414"));
    let tag = cipher.seal(&iv, &header, &mut payload).unwrap();
    let expected = hex(
        "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833",
    );
    assert_eq!(payload, expected);
    assert_eq!(tag.to_vec(), hex("899d7f27 beb16a91 52cf765e e4390cce"));
}

#[test]
fn packets_survive_every_suite_and_wrap_around() {
    for suite in SrtpSuite::ALL {
        let key = key(suite, 0x5a);
        let mut sender = SrtpSender::new(&key);
        let mut receiver = SrtpReceiver::new(&key);
        for step in 0..70_000_u32 {
            if step % 997 != 0 && !(65_000..66_000).contains(&step) {
                continue;
            }
            let packet = rtp(step as u16);
            let mut wire = protected(&mut sender, &packet);
            assert_ne!(wire[12..40], packet[12..40]);
            let len = receiver.unprotect_rtp(&mut wire).unwrap();
            assert_eq!(wire[..len], packet, "{suite:?} {step}");
        }
    }
}

#[test]
fn forged_changed_and_repeated_packets_are_dropped() {
    for suite in SrtpSuite::ALL {
        let key_a = key(suite, 1);
        let mut sender = SrtpSender::new(&key_a);
        let mut receiver = SrtpReceiver::new(&key_a);
        let wire = protected(&mut sender, &rtp(7));
        for at in 0..wire.len() {
            let mut changed = wire.clone();
            changed[at] ^= 1;
            assert_eq!(receiver.unprotect_rtp(&mut changed), None, "{suite:?} {at}");
        }
        let mut foreign = protected(&mut SrtpSender::new(&key(suite, 2)), &rtp(7));
        assert_eq!(receiver.unprotect_rtp(&mut foreign), None);
        assert!(receiver.unprotect_rtp(&mut wire.clone()).is_some());
        assert_eq!(receiver.unprotect_rtp(&mut wire.clone()), None, "a replay");
        for len in 0..wire.len() {
            assert_eq!(receiver.unprotect_rtp(&mut wire[..len].to_vec()), None);
        }
    }
}

#[test]
fn late_packets_within_the_window_pass_once() {
    let key = key(SrtpSuite::AesCm128HmacSha1_80, 3);
    let mut sender = SrtpSender::new(&key);
    let wires: Vec<_> = (0..200).map(|n| protected(&mut sender, &rtp(n))).collect();
    let mut receiver = SrtpReceiver::new(&key);
    assert!(receiver.unprotect_rtp(&mut wires[199].clone()).is_some());
    assert!(receiver.unprotect_rtp(&mut wires[100].clone()).is_some());
    assert!(receiver.unprotect_rtp(&mut wires[100].clone()).is_none());
    assert!(
        receiver.unprotect_rtp(&mut wires[20].clone()).is_none(),
        "too old"
    );
}

#[test]
fn reports_are_protected_too() {
    for suite in SrtpSuite::ALL {
        let key = key(suite, 9);
        let mut sender = SrtpSender::new(&key);
        let mut receiver = SrtpReceiver::new(&key);
        for _ in 0..3 {
            let report =
                hex("81c90007 deadbeef 01020304 05060708 090a0b0c 0d0e0f10 11121314 15161718");
            let mut buffer = vec![0; report.len() + OVERHEAD_MAX];
            buffer[..report.len()].copy_from_slice(&report);
            let len = sender.protect_rtcp(&mut buffer, report.len()).unwrap();
            buffer.truncate(len);
            let wire = buffer.clone();
            let len = receiver.unprotect_rtcp(&mut buffer).unwrap();
            assert_eq!(buffer[..len], report, "{suite:?}");
            assert_eq!(receiver.unprotect_rtcp(&mut wire.clone()), None, "a replay");
            let mut changed = wire;
            changed[10] ^= 1;
            assert_eq!(receiver.unprotect_rtcp(&mut changed), None);
        }
    }
}

#[test]
fn keys_of_the_wrong_length_are_refused_and_none_is_printed() {
    assert!(SrtpKey::new(SrtpSuite::AesCm128HmacSha1_80, &[0; 29]).is_err());
    let text = format!("{:?}", key(SrtpSuite::AeadAes256Gcm, 77));
    assert_eq!(text, "SrtpKey(AEAD_AES_256_GCM, ***)");
}
