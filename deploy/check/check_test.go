package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// kinds are those of Kubernetes itself that manifests here may be of.
var kinds = map[string]any{
	"apps/v1 Deployment":                     appsv1.Deployment{},
	"autoscaling/v2 HorizontalPodAutoscaler": autoscalingv2.HorizontalPodAutoscaler{},
	"batch/v1 Job":                           batchv1.Job{},
	"policy/v1 PodDisruptionBudget":          policyv1.PodDisruptionBudget{},
	"v1 Service":                             corev1.Service{},
}

// definition is where a custom resource's definition lies, in a release's module. The types themselves would bring all
// that their controllers are made of.
type definition struct{ module, file string }

const (
	kserve  = "github.com/kserve/kserve@v0.20.0"
	trainer = "github.com/kubeflow/trainer/v2@v2.3.0"
)

var definitions = map[string]definition{
	"serving.kserve.io/v1alpha1 ServingRuntime": {kserve,
		"config/crd/full/serving.kserve.io_servingruntimes.yaml"},
	"serving.kserve.io/v1beta1 InferenceService": {kserve,
		"config/crd/full/serving.kserve.io_inferenceservices.yaml"},
	"trainer.kubeflow.org/v1alpha1 ClusterTrainingRuntime": {trainer,
		"manifests/base/crds/trainer.kubeflow.org_clustertrainingruntimes.yaml"},
	"trainer.kubeflow.org/v1alpha1 TrainJob": {trainer,
		"manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml"},
}

// document is one of a manifest's.
type document struct {
	path string // of the manifest
	kind string // "apps/v1 Deployment"
	text []byte
}

// errNoModule says that a module is not in the cache of Go's.
var errNoModule = errors.New("not in Go's cache of modules")

// documents splits a manifest.
func documents(path string, text []byte) (all []document, err error) {
	for part := range strings.SplitSeq("\n"+string(text), "\n---\n") {
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(part), &head); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, document{path, head.APIVersion + " " + head.Kind, []byte(part)})
	}
	return all, nil
}

// check decodes a document strictly: a field that its kind does not have is an error, and so is a kind that is not
// known.
func (d document) check() error {
	if of, ok := kinds[d.kind]; ok {
		if err := yaml.UnmarshalStrict(d.text, reflect.New(reflect.TypeOf(of)).Interface()); err != nil {
			return fmt.Errorf("%s: %s: %w", d.path, d.kind, err)
		}
		return nil
	}
	def, ok := definitions[d.kind]
	if !ok {
		return fmt.Errorf("%s: %q is no kind that is checked here", d.path, d.kind)
	}
	schema, err := def.schema(d.kind)
	if err != nil {
		return fmt.Errorf("%s: %w", d.kind, err)
	}
	text, err := yaml.YAMLToJSONStrict(d.text)
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s: %s: %w", d.path, d.kind, err)
	}
	return nil
}

// schema is a definition's of one version, made strict.
func (d definition) schema(kind string) (*jsonschema.Schema, error) {
	download := exec.Command("go", "mod", "download", "-json", d.module)
	download.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	out, err := download.Output()
	var at struct{ Dir string }
	if json.Unmarshal(out, &at) != nil || at.Dir == "" {
		return nil, fmt.Errorf("%s: %w (%v): go mod download %[1]s fetches it", d.module, errNoModule, err)
	}
	text, err := os.ReadFile(filepath.Join(at.Dir, filepath.FromSlash(d.file)))
	if err != nil {
		return nil, err
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema any }
			}
		}
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return nil, err
	}
	for _, v := range crd.Spec.Versions {
		if strings.Contains(kind, "/"+v.Name+" ") {
			compiler := jsonschema.NewCompiler()
			if err := compiler.AddResource("crd.json", strict(v.Schema.OpenAPIV3Schema)); err != nil {
				return nil, err
			}
			return compiler.Compile("crd.json")
		}
	}
	return nil, fmt.Errorf("%s has no such version", d.file)
}

// strict makes JSON's schema of a definition's: an object takes the properties that it lists alone.
func strict(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = strict(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = strict(v[key])
		}
		_, lists := v["properties"].(map[string]any)
		if lists && v["type"] == "object" && v["x-kubernetes-preserve-unknown-fields"] != true {
			v["additionalProperties"] = false
		}
	}
	return v
}

// manifests are all below deploy.
func manifests(t *testing.T) (all []document) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" && filepath.Ext(path) != ".yml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		of, err := documents(path, text)
		if err != nil {
			return err
		}
		words := strings.Join(strings.Fields(strings.ReplaceAll(string(text), "\n#", " ")), " ")
		if !strings.Contains(words, "Not run on a cluster.") {
			t.Errorf("%s does not say that no cluster has run it", path)
		}
		all = append(all, of...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there is no manifest")
	}
	return all
}

// TestManifests: what stands in a manifest the system that reads it knows, to the last field.
func TestManifests(t *testing.T) {
	for _, d := range manifests(t) {
		t.Run(filepath.Base(d.path)+"/"+strings.ReplaceAll(d.kind, "/", "."), func(t *testing.T) {
			err := d.check()
			if errors.Is(err, errNoModule) && os.Getenv("VGGO_REQUIRE_PEERS") == "" {
				t.Skip(err)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCheckCatches: faults that are planted are seen.
func TestCheckCatches(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"apiVersion: v1\nkind: Service\nspec:\n  port: 1\n", `unknown field "port"`},
		{"apiVersion: v1\nkind: Service\nspec:\n  ports: 1\n", "cannot unmarshal number"},
		{"apiVersion: v1\nkind: Service\nkind: Service\n", "already set"},
		{"apiVersion: v1\nkind: Servise\n", "no kind that is checked"},
		{"apiVersion: apps/v1beta1\nkind: Deployment\n", "no kind that is checked"},
		{"apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nspec: {contaners: []}\n", "contaners"},
		{"apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nspec: {containers: 1}\n", "want array"},
		{"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nspec: {predictor: {model: {modelFormat: {}}}}\n",
			"name"},
		{"apiVersion: trainer.kubeflow.org/v1alpha1\nkind: TrainJob\nspec: {runtimeReff: {name: x}}\n", "runtimeReff"},
	} {
		all, err := documents("planted", []byte(c.text))
		if err == nil {
			err = all[0].check()
		}
		if errors.Is(err, errNoModule) && os.Getenv("VGGO_REQUIRE_PEERS") == "" {
			t.Log(err)
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}
