package serve

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vggo/vggo"
)

// TestSigmoid: one output is two classes for people and one number for the protocol; several are each by itself.
func TestSigmoid(t *testing.T) {
	source := func(name, network string) Source {
		return Source{name, func() (*vggo.Model, error) {
			return vggo.New(network, vggo.Options{Seed: 3, Batch: 2, Threads: 2, Sigmoid: true})
		}}
	}
	_, web := start(t, Config{Models: []Source{source("one", "16x16x3:8,M/24,1"), source("many", "16x16x3:8,M/24,3")}})
	ask := func(method, path string, body []byte, told any) {
		t.Helper()
		answer, text := sent{method: method, path: path, body: body}.do(t, web.URL)
		if err := json.Unmarshal(text, told); err != nil || answer.StatusCode != 200 {
			t.Fatalf("%s: %d %.200s: %v", path, answer.StatusCode, text, err)
		}
	}
	for name, outputs := range map[string]int{"one": 1, "many": 3} {
		classes := max(outputs, 2)
		var classified classification
		ask("POST", "/v1/classify?model="+name, boot(t), &classified)
		sum := 0.0
		for _, c := range classified.Classes {
			sum += c.Probability
		}
		if classified.Ending != "sigmoid" || len(classified.Classes) != classes ||
			(math.Abs(sum-1) < 1e-9) != (outputs == 1) {
			t.Errorf("%s: %+v", name, classified)
		}
		visit := visited(t, web.URL, name)
		if len(visit.Classes) != classes {
			t.Errorf("%s, inside: %+v", name, visit.Classes)
		}
		for class := range classes {
			var heat heatJSON
			ask("POST", fmt.Sprintf("/v1/inside/%s/gradcam?class=%d", visit.ID, class), nil, &heat)
			if heat.Class != class {
				t.Errorf("%s: Grad-CAM of class %d", name, heat.Class)
			}
		}
		if answer, text := (sent{method: "POST", path: fmt.Sprintf("/v1/inside/%s/gradcam?class=%d", visit.ID,
			classes)}).do(t, web.URL); answer.StatusCode != 400 {
			t.Errorf("%s: a class too many: %d %s", name, answer.StatusCode, text)
		}
		var meta modelMetadata
		ask("GET", "/v2/models/"+name, nil, &meta)
		for _, o := range meta.Outputs {
			if len(o.Shape) != 2 || o.Shape[1] != outputs {
				t.Errorf("%s: output %+v", name, o)
			}
		}
		var answer struct {
			Outputs []struct {
				Name string
				Data []float64
			}
		}
		values := strings.TrimSuffix(strings.Repeat("0.5,", 3*16*16), ",")
		ask("POST", "/v2/models/"+name+"/infer",
			[]byte(`{"inputs":[{"name":"images","datatype":"FP32","shape":[1,3,16,16],"data":[`+values+`]}]}`), &answer)
		for i, x := range answer.Outputs[0].Data {
			if p := answer.Outputs[1].Data[i]; math.Abs(p-1/(1+math.Exp(-x))) > 1e-6 || len(answer.Outputs[1].Data) != outputs {
				t.Errorf("%s: output %v becomes %v", name, x, p)
			}
		}
	}
	var list struct {
		Models []modelJSON
	}
	ask("GET", "/v1/models", nil, &list)
	for i, want := range []int{2, 3} {
		if m := list.Models[i]; m.Count != want || m.Ending != "sigmoid" {
			t.Errorf("%+v", m)
		}
	}
	s := New(Config{Models: []Source{{"one", func() (*vggo.Model, error) {
		return vggo.New("16x16x3:8,M/24,1",
			vggo.Options{})
	}}}})
	if err := s.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "has one output") {
		t.Errorf("one output that nothing says how to read: %v", err)
	}
}

// TestGuessesAreTold: what was guessed of a model stands in the list of models.
func TestGuessesAreTold(t *testing.T) {
	open := func() (*vggo.Model, error) {
		m, err := vggo.New("16x16x3:8,M/3", vggo.Options{Classes: []string{"a", "b", "c"}})
		if err == nil {
			m.ClassesGuess, m.Guess, m.Part = "taken for somebody's", true, "net"
		}
		return m, err
	}
	_, web := start(t,
		Config{Models: []Source{{"guessed", open}, {"stated", func() (*vggo.Model, error) {
			return vggo.New("16x16x3:8,M/3",
				vggo.Options{})
		}}}})
	_, text := sent{method: "GET", path: "/v1/models"}.do(t, web.URL)
	var list struct {
		Models []modelJSON
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	if m := list.Models[0]; m.Labels != "taken for somebody's" || !m.Guessed || m.Part != "net" || !m.Preprocess.Guess {
		t.Errorf("guessed: %s", text)
	}
	if strings.Count(string(text), "labels_guess") != 1 || strings.Count(string(text), "weights_guessed") != 1 {
		t.Errorf("stated: %s", text)
	}
}
