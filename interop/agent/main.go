// Command agent is a stock opamp-go client that does what the test harness tells it (package lines)
// and reports both what it applied and, from a tap on its socket, what was on the wire.
package main

import (
	"context"
	"encoding/hex"
	"flag"
	"log"
	"time"

	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/protobufs"

	"seawall/interop/lines"
)

const capabilities = protobufs.AgentCapabilities_AgentCapabilities_ReportsStatus |
	protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsEffectiveConfig |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig |
	protobufs.AgentCapabilities_AgentCapabilities_AcceptsPackages |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsPackageStatuses |
	protobufs.AgentCapabilities_AgentCapabilities_AcceptsOpAMPConnectionSettings |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsConnectionSettingsStatus |
	protobufs.AgentCapabilities_AgentCapabilities_AcceptsRestartCommand |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsHeartbeat |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsAvailableComponents

// customCapability is spoken by the agent and the server of these tests.
const customCapability = "seawall.interop"

func main() {
	url := flag.String("url", "ws://127.0.0.1:4320/v1/opamp", "OpAMP endpoint")
	transport := flag.String("transport", "ws", "ws or http")
	uid := flag.String("uid", "", "instance uid, 32 hexadecimal digits")
	name := flag.String("name", "agent", "service.name in the description")
	heartbeat := flag.Duration("heartbeat", 30*time.Second, "heartbeat (ws) or poll (http) interval")
	gzip := flag.Bool("gzip", false, "compress request bodies (http)")
	repeatHealth := flag.Bool("repeat-health", false, "report health with each connection, not only when it changes")
	wait := flag.Bool("wait", false, "dial when the command start comes, not at once")
	flag.Parse()
	log.SetFlags(log.Lmicroseconds)

	settings := types.StartSettings{
		OpAMPServerURL: *url,
		// SetCapabilities refuses package capabilities before Start, when it cannot know the store yet.
		Capabilities:          capabilities,
		PackagesStateProvider: &packageStore{},
		HeartbeatInterval:     heartbeat,
		EnableCompression:     *gzip,
	}
	if n, err := hex.Decode(settings.InstanceUid[:], []byte(*uid)); err != nil || n != 16 {
		log.Fatalf("--uid %q is not 32 hexadecimal digits: %v", *uid, err)
	}
	agent := &agent{effective: configMap("name: " + *name), repeatHealth: *repeatHealth}
	if *transport == "http" {
		tapHTTP()
		agent.client = client.NewHTTP(lines.Logger{})
	} else {
		agent.tap = tapWebSocket()
		agent.client = client.NewWebSocket(lines.Logger{})
	}
	settings.Callbacks = agent.callbacks()
	agent.start = func() error { return agent.startAs(*name, settings) }
	if *wait {
		lines.Emit("waiting", nil)
	} else if err := agent.start(); err != nil {
		log.Fatalf("start: %v", err)
	} else {
		lines.Emit("started", lines.Event{"uid": *uid})
	}
	if err := lines.Serve(agent.command); err != nil {
		log.Fatalf("commands: %v", err)
	}
}

// startAs gives the client its first state, complete as a collector's is, and lets it dial.
func (a *agent) startAs(name string, settings types.StartSettings) error {
	steps := []func() error{
		func() error { return a.client.SetAgentDescription(description(name)) },
		func() error {
			return a.setHealth(&protobufs.ComponentHealth{Healthy: true, Status: "starting"})
		},
		func() error { return a.client.SetAvailableComponents(components()) },
		func() error {
			return a.client.SetCustomCapabilities(&protobufs.CustomCapabilities{Capabilities: []string{customCapability}})
		},
		func() error { return a.client.Start(context.Background(), settings) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func description(name string) *protobufs.AgentDescription {
	text := func(key, value string) *protobufs.KeyValue {
		return &protobufs.KeyValue{Key: key, Value: &protobufs.AnyValue{
			Value: &protobufs.AnyValue_StringValue{StringValue: value},
		}}
	}
	return &protobufs.AgentDescription{
		IdentifyingAttributes:    []*protobufs.KeyValue{text("service.name", name), text("service.version", "1.2.3")},
		NonIdentifyingAttributes: []*protobufs.KeyValue{text("os.type", "linux"), text("host.name", name+".example")},
	}
}

func components() *protobufs.AvailableComponents {
	return &protobufs.AvailableComponents{
		Hash: []byte("components-1"),
		Components: map[string]*protobufs.ComponentDetails{
			"receivers": {SubComponentMap: map[string]*protobufs.ComponentDetails{"otlp": {}, "filelog": {}}},
			"exporters": {SubComponentMap: map[string]*protobufs.ComponentDetails{"otlp": {}, "debug": {}}},
		},
	}
}

func configMap(body string) *protobufs.EffectiveConfig {
	return &protobufs.EffectiveConfig{ConfigMap: &protobufs.AgentConfigMap{
		ConfigMap: map[string]*protobufs.AgentConfigFile{"": {Body: []byte(body), ContentType: "text/yaml"}},
	}}
}
