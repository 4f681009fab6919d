package amp

// ProtocolRevision names the revision of Amp whose protocol this package speaks:
// a commit of github.com/edgeandnode/amp and its date. Amp has no protocol
// version of its own and is not at 1.0; what this package relies on was read in
// the source of that commit and recorded from a server built from it.
const ProtocolRevision = "188bfd41 (2026-03-13)"
