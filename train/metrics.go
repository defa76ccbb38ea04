package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vggo/vggo/internal/strict"
)

// Metrics is one line of MetricsFile.
type Metrics struct {
	Step    int     `json:"step"` // steps taken
	Epoch   float64 `json:"epoch"`
	Rate    float64 `json:"rate"`    // of the last step
	Seconds float64 `json:"seconds"` // of the run, interruptions left out

	Training   *Stretch `json:"training,omitempty"` // since the line before
	Validation *Score   `json:"validation,omitempty"`
	Test       []Score  `json:"test,omitempty"`   // of the finished network
	Chance     *Chance  `json:"chance,omitempty"` // where its loss ended above that of guessing
}

// Stretch is the means of some steps, each before it was taken and of augmented pictures.
type Stretch struct {
	Loss     float64 `json:"loss"` // smoothed as the recipe says
	Accuracy float64 `json:"accuracy"`
}

// ReadMetrics reads the lines of a run's MetricsFile.
func ReadMetrics(path string) ([]Metrics, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []Metrics
	for line := range bytes.Lines(text) {
		var m Metrics
		if err := strict.Unmarshal(line, &m); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(list)+1, err)
		}
		list = append(list, m)
	}
	return list, nil
}

// journal appends metrics. Lines are not brought to the disk one by one: a checkpoint says which count.
type journal struct {
	file *os.File
	// Of the lines that were there: the last validation, and the last stretch's loss, 0 without one.
	last *Score
	loss float64
}

// openJournal goes on after a step: lines of later steps, of a finished network, and what a crash has left of one, are
// dropped.
func openJournal(folder string, step int) (*journal, error) {
	if folder == "" {
		return &journal{}, nil
	}
	path := filepath.Join(folder, MetricsFile)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	j := &journal{}
	end := 0
	for end < len(text) {
		length := bytes.IndexByte(text[end:], '\n') + 1
		var m Metrics
		if length == 0 || strict.Unmarshal(text[end:end+length], &m) != nil || m.Step > step || m.Test != nil ||
			m.Chance != nil {
			break
		}
		if m.Validation != nil {
			j.last = m.Validation
		}
		if m.Training != nil {
			j.loss = m.Training.Loss
		}
		end += length
	}
	if j.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o666); err != nil {
		return nil, err
	}
	if err := j.file.Truncate(int64(end)); err != nil {
		return nil, errors.Join(err, j.file.Close())
	}
	if _, err := j.file.Seek(int64(end), 0); err != nil {
		return nil, errors.Join(err, j.file.Close())
	}
	return j, nil
}

func (j *journal) write(m Metrics) error {
	if j.file == nil {
		return nil
	}
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
