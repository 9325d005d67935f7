package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/logbook"
	"holdfast.dev/holdfast/internal/localcluster"
	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
)

// storeVariable holds the place of the record store where no flag does, so that a password does not
// have to stand on a command line.
const storeVariable = "AUDIT_STORE"

func newAuditCommand(std Streams, target *target) *cobra.Command {
	store := &auditSource{target: target}
	command := &cobra.Command{
		Use:   "audit",
		Short: "Show and verify the record of what happened",
		Long: "Show and verify the record of what happened: revisions, releases, rollbacks, drift, requests of\n" +
			"people. Records can only be added, and each change of one that is there is found by `audit verify`.\n" +
			"The commands read the store itself, also while a controller writes to it. With --controller, they ask\n" +
			"the controller of a cluster, with a token of the ServiceAccount holdfast-auditor.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.PersistentFlags().StringVar(&store.place, "store", "", "file, folder or postgres:// URL of the record store "+
		"(default: $"+storeVariable+", or the one of `holdfast up`)")
	command.PersistentFlags().BoolVar(&store.remote, "controller", false, "read the record of the controller in the cluster, instead of a store")
	command.PersistentFlags().StringVar(&store.namespace, "runtime-namespace", defaultNamespace(), "namespace of the controller")
	command.MarkFlagsMutuallyExclusive("store", "controller")
	command.AddCommand(
		newAuditListCommand(std, target, store),
		newAuditShowCommand(std, store),
		newAuditVerifyCommand(std, target, store),
		newAuditExportCommand(std, store),
	)
	return command
}

// auditSource says which audit log is meant.
type auditSource struct {
	target    *target
	place     string
	remote    bool
	namespace string // of the controller
}

// open opens the log. The caller closes it.
func (s *auditSource) open(ctx context.Context) (logbook.Logbook, error) {
	if !s.remote {
		db, err := openStore(s.place)
		if err != nil {
			return nil, err
		}
		return logbook.Store{DB: db}, nil
	}
	config, err := s.target.config()
	if err != nil {
		return nil, err
	}
	return logbook.Reach(ctx, config, s.namespace)
}

// openStore opens the record store that --store, the environment or `holdfast up` names.
func openStore(flag string) (*database.DB, error) {
	named := cmp.Or(flag, os.Getenv(storeVariable))
	if named == "" {
		dir, err := localcluster.DefaultDir()
		if err != nil {
			return nil, err
		}
		named = dir
	}
	place, err := database.ParsePlace(named)
	if err != nil {
		return nil, err
	}
	if place.IsFile() {
		file, err := storeFile(named)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, hinted(fmt.Errorf("there is no record store at %s", file), "`holdfast up` keeps one; --store names another")
		}
		if err != nil {
			return nil, err
		}
		place = database.File(file)
	}
	return database.OpenToRead(place)
}

// storeFile finds the file of a store: the path itself, or in a folder where a controller or
// `holdfast up` keeps it.
func storeFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return path, err
	}
	file := filepath.Join(path, operator.RecordFile)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	file = filepath.Join(path, "controller", operator.RecordFile)
	_, err = os.Stat(file)
	return file, err
}

// recordView is a record for scripts; the names of its fields are kept.
type recordView struct {
	Number int64        `json:"number"`
	Root   string       `json:"root"`
	Entry  record.Entry `json:"entry"`
}

func viewOf(r audit.Record) recordView {
	return recordView{Number: r.N, Root: r.Root.String(), Entry: r.Entry}
}

// moment reads a time: RFC 3339, a day, or how long ago.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	ago, err := time.ParseDuration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is no time: give 2026-09-01T12:00:00Z, 2026-09-01, or how long ago, as 2h", strconv.Quote(text))
	}
	return now.Add(-ago), nil
}

func subjectText(s record.Subject) string {
	text := s.Kind + "/" + s.Name
	if s.Namespace != "" {
		text = s.Kind + "/" + s.Namespace + "/" + s.Name
	}
	return text
}
