//go:build mpi && linux

package cluster

import (
	"encoding/binary"
	"os"
	"strings"
	"time"
)

// watch looks after the other ranks: each sends the next one a sign of life now and then, from the thread that speaks
// MPI, however long a step, a validation or a checkpoint takes. A rank whose process is dead, stopped or cut off sends
// none. Whoever fails, or misses its neighbour, tells all others.
type watch struct {
	*mpi
	every                time.Duration
	sent, heard, looked  time.Time
	beat, sign, failure  request // what is sent, received, and received from anyone
	spreading            []*request
	out, in, told        []byte
	own                  string // this rank's name
	leaving, left, quiet bool   // asked to leave, has said so; the neighbour has
}

const (
	alive = iota
	leaves
)

func (w *watch) begin(m *mpi) error {
	w.mpi = m
	w.every = time.Second
	if m.timeout > 0 {
		w.every = min(w.every, m.timeout/4)
	}
	w.out, w.in, w.told = make([]byte, beatText), make([]byte, beatText), make([]byte, failText)
	w.heard, w.looked = time.Now(), time.Now()
	host, _ := os.Hostname()
	hosts := make([]string, m.size)
	hosts[m.rank] = host
	w.own = nameOf(m.rank, hosts)
	for _, r := range []*request{&w.beat, &w.sign, &w.failure} {
		r.pin.Pin(&r.handle)
	}
	w.beat.pin.Pin(&w.out[0])
	w.sign.pin.Pin(&w.in[0])
	w.failure.pin.Pin(&w.told[0])
	if err := m.fault("MPI_Irecv", m.receive(w.told, failText, m.byte, m.anySource, failTag, m.ring,
		&w.failure.handle)); err != nil {
		return err
	}
	return w.listen()
}

// before is the neighbour that this rank watches, after the one that watches it.
func (w *watch) before() int { return (w.rank + w.size - 1) % w.size }
func (w *watch) after() int  { return (w.rank + 1) % w.size }

func (w *watch) listen() error {
	return w.fault("MPI_Irecv", w.receive(w.in, beatText, w.byte, int32(w.before()), beatTag, w.ring, &w.sign.handle))
}

// look receives what has come and sends what is due. An error says that the job is over.
func (w *watch) look(now time.Time) error {
	if done, err := w.isDone(&w.failure); err != nil {
		return err
	} else if done {
		rank := int(binary.LittleEndian.Uint32(w.told))
		n := min(int(binary.LittleEndian.Uint32(w.told[4:])), failText-8)
		name, text, _ := strings.Cut(string(w.told[8:8+n]), "\x00")
		return w.reported(rank, name, text)
	}
	if !w.quiet {
		done, err := w.isDone(&w.sign)
		if err != nil {
			return err
		}
		if done {
			w.heard = now
			if w.quiet = w.in[0] == leaves; !w.quiet {
				if err := w.listen(); err != nil {
					return err
				}
			}
		}
	}
	// Whoever was stopped itself has heard nothing meanwhile.
	if now.Sub(w.looked) > w.timeout/2 {
		w.heard = now
	}
	w.looked = now
	if w.timeout > 0 && !w.quiet && now.Sub(w.heard) > w.timeout {
		w.mu.Lock()
		name := nameOf(w.before(), w.hosts)
		w.mu.Unlock()
		w.spread(w.before(), name, "")
		return w.reported(w.before(), name, "")
	}
	sending := w.beat.call != ""
	if sending {
		done, err := w.isDone(&w.beat)
		if err != nil {
			return err
		}
		if done {
			w.beat.call = ""
			sending = false
			w.left = w.out[0] == leaves
		}
	}
	if !sending && !w.left && (w.leaving || now.Sub(w.sent) >= w.every) {
		w.sent, w.out[0], w.beat.call = now, alive, "MPI_Isend"
		if w.leaving {
			w.out[0] = leaves
		}
		return w.fault("MPI_Isend", w.send(w.out, beatText, w.byte, int32(w.after()), beatTag, w.ring, &w.beat.handle))
	}
	return nil
}

// gone reports whether this rank and its neighbour have both said that they leave.
func (w *watch) gone() bool {
	if !w.left || !w.quiet {
		return false
	}
	w.cancel(&w.failure.handle)
	w.free(&w.failure.handle)
	for _, r := range []*request{&w.beat, &w.sign, &w.failure} {
		r.pin.Unpin()
	}
	return true
}

// reported is what a rank has told of itself, or of one that says nothing.
func (w *watch) reported(rank int, name, text string) *RankError {
	e := &RankError{Rank: rank, Name: name, Text: text}
	if text == "" {
		e.For = w.timeout
	}
	return e
}

// tell says that this rank has failed.
func (w *watch) tell(text string) {
	w.stop(errEnded)
	w.spread(w.rank, w.own, text)
}

// spread tells all others of a rank that has failed, and waits a moment for the messages to leave.
func (w *watch) spread(rank int, name, text string) {
	text = name + "\x00" + text
	text = strings.ToValidUTF8(text[:min(len(text), failText-8)], "")
	message := binary.LittleEndian.AppendUint32(nil, uint32(rank))
	message = binary.LittleEndian.AppendUint32(message, uint32(len(text)))
	message = append(append(message, text...), make([]byte, failText-8-len(text))...)
	for to := range w.size {
		if to == w.rank || to == rank {
			continue
		}
		r := &request{call: "MPI_Isend"}
		r.pin.Pin(&r.handle)
		r.pin.Pin(&message[0])
		if w.send(message, failText, w.byte, int32(to), failTag, w.ring, &r.handle) == 0 {
			w.spreading = append(w.spreading, r)
		}
	}
	const moment = 2 * time.Second
	for begun := time.Now(); time.Since(begun) < moment; pause(100) {
		waits := false
		for _, r := range w.spreading {
			done, err := w.isDone(r)
			waits = waits || !done && err == nil
		}
		if !waits {
			return
		}
	}
}
