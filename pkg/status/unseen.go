package status

import "time"

// Unseen is a pipeline whose state cannot be read, and why.
func Unseen(name string, err error) Pipeline {
	p := Pipeline{
		Name: name, At: time.Now().UTC(), Level: Failed, Notes: []Trouble{}, Sinks: []Sink{}, Processes: []Process{},
		Sentence: "it cannot be seen how the pipeline is: " + err.Error(),
	}
	p.Troubles = []Trouble{{Level: Failed, Part: "NATS", Text: p.Sentence}}
	return p
}
