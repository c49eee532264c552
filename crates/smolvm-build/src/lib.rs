//! From a Smolfile to an image in the store: build(), resolve() and their events.
