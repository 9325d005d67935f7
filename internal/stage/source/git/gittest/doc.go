// Package gittest runs real Git servers for tests: repositories that C git reads and writes, served
// over HTTP by git-http-backend and over SSH by git-upload-pack, on loopback and free ports.
//
// In: files, branches, tags, and the faults a test wants to see. Out: URLs, credentials, and a
// record of the requests that came. It never runs outside tests: it starts git processes, which
// the program itself never does. A machine without git skips the test that asks for a server.
//
//	server := gittest.Serve(t, gittest.Options{})
//	repo := server.Repository(t, "platform")
//	repo.Commit(t, map[string]string{"apps/web.yaml": "kind: ConfigMap\n"})
//	fetch(repo.URL())
package gittest
