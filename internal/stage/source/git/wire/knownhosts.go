package wire

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// readKnownHosts returns a check for host keys, and the algorithms for which the host has keys: a
// server that has several must be asked for one that we can check.
func readKnownHosts(content []byte, address, dir string) (ssh.HostKeyCallback, []string, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, nil, errors.New("an SSH remote needs known_hosts")
	}
	check, err := parseKnownHosts(content, dir)
	if err != nil {
		return nil, nil, err
	}
	explained := func(hostname string, remote net.Addr, key ssh.PublicKey) error {
		return explainHostKey(check(hostname, remote, key), hostname)
	}
	return explained, hostKeyAlgorithms(check, address), nil
}

// parseKnownHosts goes through a file, because that is all that the parser takes. Its content is
// public, and it is gone before this returns.
func parseKnownHosts(content []byte, dir string) (ssh.HostKeyCallback, error) {
	file, err := os.CreateTemp(dir, "known_hosts-*")
	if err != nil {
		return nil, fmt.Errorf("reading known_hosts: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("reading known_hosts: %w", err)
	}
	check, err := knownhosts.New(file.Name())
	if err != nil {
		return nil, errors.New("reading known_hosts: a line of it is malformed")
	}
	return check, nil
}

func explainHostKey(err error, hostname string) error {
	var mismatch *knownhosts.KeyError
	if !errors.As(err, &mismatch) {
		return err
	}
	if len(mismatch.Want) == 0 {
		return fmt.Errorf("known_hosts has no key of %s", hostname)
	}
	return fmt.Errorf("the host key of %s is not the one in known_hosts", hostname)
}

// hostKeyAlgorithms asks the check for a key that nobody has; its refusal lists those it would take.
func hostKeyAlgorithms(check ssh.HostKeyCallback, address string) []string {
	stranger, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var mismatch *knownhosts.KeyError
	if !errors.As(check(address, &net.TCPAddr{IP: net.IPv4zero}, stranger), &mismatch) {
		return nil
	}
	var algorithms []string
	for _, known := range mismatch.Want {
		names := []string{known.Key.Type()}
		if known.Key.Type() == ssh.KeyAlgoRSA {
			names = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, name := range names {
			if !slices.Contains(algorithms, name) {
				algorithms = append(algorithms, name)
			}
		}
	}
	return algorithms
}
