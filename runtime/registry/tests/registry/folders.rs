//! Folders and files.

use crate::world::{Desk, client, refused, same};
use remit_registry::{Description, Location, Parcel};
use std::fs;

fn oci(desk: &Desk, tag: &str) -> Location {
    Location::parse(&format!("oci:{}:{tag}", desk.path("out").display())).expect("a place")
}

#[tokio::test]
async fn a_folder_and_back() {
    let (client, desk) = (client(&[]), Desk::new(200_000));
    let pushed = desk.push(&client, &oci(&desk, "1.0"), &[b"{}".to_vec()]).await.expect("pushed");
    // Again, and under another tag: the folder has each of them once.
    assert_eq!(desk.push(&client, &oci(&desk, "1.0"), &[b"{}".to_vec()]).await.expect("pushed"), pushed);
    desk.push(&client, &oci(&desk, "1.1"), &[]).await.expect("pushed");
    let pulled = desk.pull(&client, &oci(&desk, "1.0")).await.expect("pulled");
    same(&desk.path("pulled.wasm"), &desk.bytes);
    assert_eq!((pulled.manifest, pulled.package), (pushed.manifest, pushed.package));
    assert_eq!(pulled.envelopes, [b"{}".to_vec()]);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(desk.path("out/index.json")).expect("a file")).expect("an index");
    assert_eq!(index["manifests"].as_array().expect("manifests").len(), 3);
    refused(desk.pull(&client, &oci(&desk, "2.0")).await, "there is no manifest 2.0");
}

#[tokio::test]
async fn a_folder_that_was_changed() {
    let (client, desk) = (client(&[]), Desk::new(1000));
    let pushed = desk.push(&client, &oci(&desk, "1"), &[]).await.expect("pushed");
    let blob = desk.path("out/blobs/sha256").join(pushed.package.hex());
    let mut bytes = desk.bytes.clone();
    bytes[500] ^= 1;
    fs::write(&blob, &bytes).expect("a file");
    refused(desk.pull(&client, &oci(&desk, "1")).await, "it was changed");
    fs::write(&blob, &bytes[1..]).expect("a file");
    refused(desk.pull(&client, &oci(&desk, "1")).await, "999 bytes, and 1000 were promised");
    fs::remove_file(&blob).expect("a file");
    refused(desk.pull(&client, &oci(&desk, "1")).await, "cannot be read");
    fs::create_dir(&blob).expect("a folder");
    refused(desk.pull(&client, &oci(&desk, "1")).await, "no plain file");
    let manifest = desk.path("out/blobs/sha256").join(pushed.manifest.expect("a manifest").hex());
    fs::write(manifest, b"{}").expect("a file");
    refused(desk.pull(&client, &oci(&desk, "1")).await, "were promised");
    fs::write(desk.path("out/oci-layout"), b"{\"imageLayoutVersion\":\"9\"}").expect("a file");
    refused(desk.pull(&client, &oci(&desk, "1")).await, "another version");
    fs::remove_file(desk.path("out/oci-layout")).expect("a file");
    refused(desk.pull(&client, &oci(&desk, "1")).await, "oci-layout cannot be read");
}

#[tokio::test]
async fn a_file_and_back() {
    let (client, desk) = (client(&[]), Desk::new(1000));
    let there = Location::File(desk.path("copy.wasm"));
    let envelopes = [b"{\n \"b\": 1,\n \"a\": 2\n}".to_vec(), b"{}".to_vec()];
    desk.push(&client, &there, &envelopes).await.expect("pushed");
    let pulled = desk.pull(&client, &there).await.expect("pulled");
    same(&desk.path("pulled.wasm"), &desk.bytes);
    assert_eq!(pulled.manifest, None);
    assert_eq!(pulled.envelopes.len(), 2);
    assert_eq!(desk.files(), ["clerk.wasm", "copy.wasm", "copy.wasm.intoto.jsonl", "pulled.wasm"]);
    // Without signatures.
    let bare = Location::File(desk.package.clone());
    assert!(desk.pull(&client, &bare).await.expect("pulled").envelopes.is_empty());
    fs::write(desk.path("copy.wasm.intoto.jsonl"), "{}\n".repeat(33)).expect("a file");
    refused(desk.pull(&client, &there).await, "goes on after 32");
}

#[tokio::test]
async fn bundles_lie_in_folders_and_beside_files() {
    let (client, desk) = (client(&[]), Desk::new(1000));
    let (envelopes, bundles) = ([b"{}".to_vec()], [br#"{"mediaType":"x"}"#.to_vec()]);
    for there in [oci(&desk, "1.0"), Location::File(desk.path("copy.wasm"))] {
        desk.push_signed(&client, &there, &envelopes, &bundles).await.expect("pushed");
        let pulled = desk.pull(&client, &there).await.expect("pulled");
        assert_eq!((pulled.envelopes, pulled.bundles), (envelopes.to_vec(), bundles.to_vec()));
    }
    assert_eq!(fs::read(desk.path("copy.wasm.sigstore.json")).expect("a file"), b"{\"mediaType\":\"x\"}\n");
    fs::write(desk.path("copy.wasm.sigstore.json"), "{\n  \"mediaType\": \"x\"\n}\n").expect("a file");
    let pulled = desk.pull(&client, &Location::File(desk.path("copy.wasm"))).await.expect("pulled");
    assert_eq!(pulled.bundles.len(), 1, "in several lines");
    let large = [vec![b' '; (1 << 20) + 1]];
    refused(desk.push_signed(&client, &oci(&desk, "2.0"), &[], &large).await, "1048576 are the most");
}

#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let (client, desk) = (client(&[]), Desk::new(10));
    fs::File::options().write(true).open(&desk.package).and_then(|file| file.set_len((64 << 20) + 1)).expect("a file");
    refused(desk.push(&client, &oci(&desk, "1"), &[]).await, "67108864 are the most");
    let description = Description::default();
    let nothing = desk.path("nothing.wasm");
    let parcel = Parcel { package: &nothing, description: &description, envelopes: &[], bundles: &[] };
    refused(client.push(&oci(&desk, "1"), &parcel, &|_| ()).await, "cannot be read");
}
