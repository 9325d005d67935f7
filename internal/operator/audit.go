package operator

import (
	"context"
	"path/filepath"
	"time"

	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/audit/anchor"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/witness"
)

// RecordFile is the name of the record store in Config.Dir, where no other place is given.
const RecordFile = "record.db"

// Audit says where and how is recorded what happens.
type Audit struct {
	// Store is where records are kept; the zero value is the file RecordFile in Config.Dir.
	Store database.Place
	// Mode says what follows when the store is down; empty means audit.Required.
	Mode audit.Mode
	// Age and Count limit how long and how many records keep their contents; 0 is all of them.
	Age   time.Duration
	Count int64
	// GitDir is a bare repository that keeps checkpoints; empty is none.
	GitDir string
}

// audited is the running audit log.
type audited struct {
	db   *database.DB
	log  *audit.Log
	stop context.CancelFunc // nil before the start
	done chan struct{}
}

// openAudit makes the audit log. It needs the manager, whose cluster keeps the key and an anchor.
func (o *Operator) openAudit() error {
	settings, place := o.config.Audit, o.config.Audit.Store
	if place.IsZero() {
		place = database.File(filepath.Join(o.config.Dir, RecordFile))
	}
	db, err := database.Open(place)
	if err != nil {
		return err
	}
	cluster := anchor.Cluster{Client: o.manager.GetClient(), Reader: o.manager.GetAPIReader(), Namespace: o.config.Namespace}
	anchors := []audit.Anchor{cluster}
	if settings.GitDir != "" {
		anchors = append(anchors, anchor.Git{Dir: settings.GitDir})
	}
	o.audit = audited{db: db, done: make(chan struct{}), log: audit.New(db, audit.Options{
		Mode: settings.Mode, Age: settings.Age, Count: settings.Count,
		Key: cluster, Anchors: anchors, Log: o.config.Log.WithName("audit"),
	})}
	o.metrics.FollowAudit(func() time.Duration { return o.audit.log.Stats().Lag })
	o.recorder = record.Several(o.metrics.Audited(o.audit.log), o.metrics)
	return nil
}

// start begins to write as soon as this replica is the one that works: another one's checkpoints must
// not be replaced by ours. The log outlives ctx, so that parts can record how they stop.
func (a *audited) start(ctx context.Context, elected <-chan struct{}) {
	ctx, a.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(a.done)
		select {
		case <-elected:
			_ = a.log.Run(ctx) // it has told what went wrong
		case <-ctx.Done():
		}
	}()
}

// close writes and signs what is left, and lets go of the store.
func (a *audited) close() error {
	if a.db == nil {
		return nil
	}
	if a.stop != nil {
		a.stop()
		<-a.done
	}
	return a.db.Close()
}

// Recorder returns where everything that happens is recorded.
func (o *Operator) Recorder() record.Recorder { return o.recorder }

// Witness returns where an admission webhook keeps who asked for what, so that the record need not rely on
// what the person's client says.
func (o *Operator) Witness() *witness.Book { return o.witness }

// Audited says how the audit log does, for metrics and diagnosis.
func (o *Operator) Audited() audit.Stats { return o.audit.log.Stats() }
