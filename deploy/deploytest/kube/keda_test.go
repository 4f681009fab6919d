package kube

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
)

// monitoring is what KEDA reads of a server's page /jsz.
type monitoring struct {
	Accounts []struct {
		Name    string `json:"name"`
		Streams []struct {
			Name      string `json:"name"`
			Consumers []struct {
				Name    string `json:"name"`
				Pending int    `json:"num_pending"`
				Held    int    `json:"num_ack_pending"`
				Cluster struct {
					Leader string `json:"leader"`
				} `json:"cluster"`
			} `json:"consumer_detail"`
		} `json:"stream_detail"`
	} `json:"account_details"`
	Meta struct {
		Size int `json:"cluster_size"`
	} `json:"meta_cluster"`
}

// lag returns what KEDA's scaler nats-jetstream counts, asked at one server: the messages
// of the consumer that wait and those that are held, as the server has them that leads
// the consumer. It finds that one by the addresses that the servers tell their clients.
func (n natsTrigger) lag(server string) (int, error) {
	lag, leader, size, err := n.ask(server)
	if err != nil || size <= 1 {
		return lag, err
	}
	var known struct {
		URLs []string `json:"connect_urls"`
	}
	if err := page(server, "/varz", &known); err != nil {
		return 0, err
	}
	for _, address := range known.URLs {
		node, _, err := net.SplitHostPort(address)
		if err != nil {
			return 0, err
		}
		var about struct {
			Name string `json:"server_name"`
		}
		if err := page(node, "/varz", &about); err != nil {
			return 0, err
		}
		if about.Name == leader {
			lag, _, _, err = n.ask(node)
			return lag, err
		}
	}
	return 0, fmt.Errorf("none of %v is %q, which leads %s", known.URLs, leader, n.Consumer)
}

// ask returns what one server answers. KEDA takes a consumer that is not there for one that
// has everything to do; here that is an error.
func (n natsTrigger) ask(server string) (lag int, leader string, size int, err error) {
	var m monitoring
	if err := page(server, "/jsz?acc="+n.Account+"&consumers=true&config=true", &m); err != nil {
		return 0, "", 0, err
	}
	for _, account := range m.Accounts {
		for _, stream := range account.Streams {
			for _, c := range stream.Consumers {
				if account.Name == n.Account && stream.Name == n.Stream && c.Name == n.Consumer {
					return c.Pending + c.Held, c.Cluster.Leader, m.Meta.Size, nil
				}
			}
		}
	}
	return 0, "", 0, fmt.Errorf("%s has no consumer %s of %s in account %s", server, n.Consumer, n.Stream, n.Account)
}

// page reads a page of a server's monitoring port.
func page(server, path string, into any) error {
	status, body := fetch("http://" + net.JoinHostPort(server, "8222") + path)
	if status != http.StatusOK {
		return fmt.Errorf("%s%s: %d %s", server, path, status, body)
	}
	return json.Unmarshal([]byte(body), into)
}
