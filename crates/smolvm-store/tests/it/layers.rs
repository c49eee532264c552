//! Cached layers: what they were made of, and those whose contents they use.

use smolvm_store::{BuildKey, CachedLayer, Store};

use crate::support::{key, store};

/// Puts a layer in its place.
fn put(store: &Store, digit: char, listing: &str, below: &[&CachedLayer]) -> CachedLayer {
    let lock = store.lock(&key(digit)).unwrap();
    let staging = store.stage_layer(&lock).unwrap();
    staging.content().unwrap();
    let below: Vec<_> = below.iter().map(|layer| layer.content_of(layer.key().as_str()).unwrap()).collect();
    staging.commit(listing.as_bytes(), format!("made of {listing}").as_bytes(), &below).unwrap()
}

fn present(store: &Store) -> String {
    let is_there = |digit: &char| store.layer(&key(*digit)).unwrap().is_some();
    ('1'..='4').filter(is_there).collect()
}

#[test]
fn what_layers_were_made_of_is_kept_beside_them() {
    let (_folder, store) = store();
    assert_eq!(store.layer_inputs().unwrap(), []);
    for (digit, listing) in [('1', "one"), ('2', "two")] {
        put(&store, digit, listing, &[]);
    }
    let expected: [(BuildKey, Vec<u8>); 2] = [(key('1'), b"made of one".to_vec()), (key('2'), b"made of two".to_vec())];
    assert_eq!(store.layer_inputs().unwrap(), expected);
    // What is not what was written is not believed.
    let inputs = store.root().join("layers").join(key('1').as_str()).join("inputs");
    fs_err::remove_file(&inputs).unwrap();
    fs_err::write(&inputs, "made of gold").unwrap();
    assert_eq!(store.layer_inputs().unwrap(), expected[1..]);
    assert_eq!(present(&store), "12", "what it was made of is not needed to use it");
}

#[test]
fn a_layer_is_a_miss_once_one_whose_contents_it_uses_was_made_anew() {
    let (_folder, store) = store();
    let one = put(&store, '1', "one", &[]);
    let two = put(&store, '2', "two", &[&one]);
    drop(put(&store, '3', "three", &[&one, &two]));
    drop((one, two));
    assert_eq!(present(&store), "123");
    // The same again has its contents where they were.
    drop(put(&store, '1', "one", &[]));
    assert_eq!(present(&store), "123");
    drop(put(&store, '1', "another one", &[]));
    assert_eq!(present(&store), "1");
}

#[test]
fn layers_whose_contents_a_kept_one_uses_are_kept() {
    let (_folder, store) = store();
    let one = put(&store, '1', "one", &[]);
    let two = put(&store, '2', "two", &[&one]);
    drop(put(&store, '3', "three", &[&one, &two]));
    drop(put(&store, '4', "four", &[&one]));
    drop((one, two));
    assert_eq!(store.remove_layers(|kept| *kept == key('3')).unwrap().layers, 1);
    assert_eq!(present(&store), "123");
    assert_eq!(store.remove_layers(|_| false).unwrap().layers, 3);
    assert_eq!(present(&store), "");
}
