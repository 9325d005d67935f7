// Package wire talks to remote Git repositories, over HTTP, HTTPS and SSH.
//
// In: an address, what gives access to it, and the hashes that are wanted and those that are there
// already. Out: the remote's references, and a pack as a stream. It never interprets the pack, never
// touches the disk but for a known_hosts file that it removes at once, and shows no secret in any
// error.
//
// The conversation is protocol version 0: one request shows all references, which makes an unchanged
// remote cost exactly one request. go-git's own transports are not used. Its SSH transport reads the
// user's ~/.ssh/config and does not obey a deadline once the connection is there; its HTTP transport
// reads error bodies of any length; both take process-wide settings; and neither asks for thin
// packs, without which a shallow repository downloads every file again for each new commit.
package wire
