package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/protobufs"
	"google.golang.org/protobuf/proto"

	"seawall/interop/lines"
)

// stopTimeout bounds a clean stop; opamp-go itself waits 5 s for the peer's close frame.
const stopTimeout = 10 * time.Second

type agent struct {
	client client.OpAMPClient
	tap    *tap
	// start lets the client dial; to be called once.
	start func() error

	// repeatHealth: health is set again with each connection, and so stands in the first report of it.
	repeatHealth bool

	mutex     sync.Mutex
	effective *protobufs.EffectiveConfig
	health    *protobufs.ComponentHealth
}

func (a *agent) callbacks() types.Callbacks {
	return types.Callbacks{
		OnConnect: a.onConnect,
		OnConnectFailed: func(_ context.Context, err error) {
			lines.Emit("connect_failed", lines.Event{"error": err.Error()})
		},
		OnError: func(_ context.Context, err *protobufs.ServerErrorResponse) {
			lines.Emit("error", lines.Event{"type": err.Type.String(), "message": err.ErrorMessage})
		},
		OnCommand: func(_ context.Context, command *protobufs.ServerToAgentCommand) error {
			lines.Emit("command", lines.Event{"type": command.Type.String()})
			return nil
		},
		OnOpampConnectionSettings: func(_ context.Context, settings *protobufs.OpAMPConnectionSettings) error {
			lines.Emit("connection_settings", lines.Event{"heartbeat_seconds": settings.HeartbeatIntervalSeconds})
			return nil
		},
		GetEffectiveConfig: func(context.Context) (*protobufs.EffectiveConfig, error) {
			a.mutex.Lock()
			defer a.mutex.Unlock()
			return a.effective, nil
		},
		OnMessage: a.onMessage,
	}
}

// onConnect comes before the client puts the first report of the connection together.
func (a *agent) onConnect(context.Context) {
	lines.Emit("connected", nil)
	a.mutex.Lock()
	health := a.health
	a.mutex.Unlock()
	if a.repeatHealth && health != nil {
		a.complain(a.client.SetHealth(health))
	}
}

// onMessage reports and applies what the client library took out of one ServerToAgent.
func (a *agent) onMessage(ctx context.Context, message *types.MessageData) {
	if config := message.RemoteConfig; config != nil {
		a.applyConfig(ctx, config)
	}
	if custom := message.CustomMessage; custom != nil {
		lines.Emit("custom", lines.Event{"type": custom.Type, "data": string(custom.Data)})
	}
	if identification := message.AgentIdentification; identification != nil {
		lines.Emit("identification", lines.Event{"uid": hex.EncodeToString(identification.NewInstanceUid)})
	}
	if offered := message.CustomCapabilities; offered != nil {
		lines.Emit("custom_capabilities", lines.Event{"capabilities": offered.Capabilities})
	}
	if packages := message.PackagesAvailable; packages != nil {
		lines.Emit("packages", lines.Event{"hash": hex.EncodeToString(packages.AllPackagesHash)})
		a.complain(a.client.SetPackageStatuses(installed(packages)))
	}
}

// applyConfig takes a remote configuration over, unless its text asks to be rejected.
func (a *agent) applyConfig(ctx context.Context, config *protobufs.AgentRemoteConfig) {
	body := string(config.GetConfig().GetConfigMap()[""].GetBody())
	lines.Emit("remote_config", lines.Event{"hash": hex.EncodeToString(config.ConfigHash), "body": body})
	status := &protobufs.RemoteConfigStatus{
		LastRemoteConfigHash: config.ConfigHash,
		Status:               protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED,
	}
	if strings.Contains(body, "reject me") {
		status.Status = protobufs.RemoteConfigStatuses_RemoteConfigStatuses_FAILED
		status.ErrorMessage = "rejected as asked"
	} else {
		a.setEffective(configMap(body))
		a.complain(a.client.UpdateEffectiveConfig(ctx))
	}
	a.complain(a.client.SetRemoteConfigStatus(status))
}

func (a *agent) setEffective(config *protobufs.EffectiveConfig) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.effective = config
}

func (a *agent) setHealth(health *protobufs.ComponentHealth) error {
	a.mutex.Lock()
	a.health = health
	a.mutex.Unlock()
	return a.client.SetHealth(health)
}

func (a *agent) complain(err error) {
	if err != nil {
		lines.Emit("complaint", lines.Event{"error": err.Error()})
	}
}

// command carries out one command of the harness.
func (a *agent) command(command lines.Command) (lines.Event, error) {
	ctx := context.Background()
	switch command.Cmd {
	case "set_description":
		return nil, with(command.Raw, &protobufs.AgentDescription{}, a.client.SetAgentDescription)
	case "set_health":
		return nil, with(command.Raw, &protobufs.ComponentHealth{}, a.setHealth)
	case "set_effective_config":
		return nil, with(command.Raw, &protobufs.EffectiveConfig{}, func(config *protobufs.EffectiveConfig) error {
			a.setEffective(config)
			return a.client.UpdateEffectiveConfig(ctx)
		})
	case "set_package_statuses":
		return nil, with(command.Raw, &protobufs.PackageStatuses{}, a.client.SetPackageStatuses)
	case "set_components":
		return nil, with(command.Raw, &protobufs.AvailableComponents{}, a.client.SetAvailableComponents)
	case "request_connection_settings":
		return nil, with(command.Raw, &protobufs.ConnectionSettingsRequest{}, a.client.RequestConnectionSettings)
	case "send_custom":
		return nil, with(command.Raw, &protobufs.CustomMessage{}, a.sendCustom)
	case "cut", "stall", "resume", "lose":
		if a.tap == nil {
			return nil, errors.New("only a WebSocket agent has a socket to handle")
		}
		return a.tap.command(command.Cmd)
	case "start":
		return nil, a.start()
	case "stop":
		return nil, a.stop(command)
	default:
		return nil, fmt.Errorf("unknown command %q", command.Cmd)
	}
}

// stop ends the client cleanly and then the process, so it answers the command itself.
func (a *agent) stop(command lines.Command) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := a.client.Stop(ctx); err != nil {
		return err
	}
	lines.Emit("done", lines.Event{"id": command.ID, "cmd": command.Cmd})
	os.Exit(0)
	return nil
}

// sendCustom waits until the client is free: it holds one custom message at a time.
func (a *agent) sendCustom(message *protobufs.CustomMessage) error {
	for {
		sent, err := a.client.SendCustomMessage(message)
		if !errors.Is(err, types.ErrCustomMessagePending) {
			return err
		}
		<-sent
	}
}

func with[M proto.Message](raw string, message M, apply func(M) error) error {
	if err := lines.Decode(raw, message); err != nil {
		return err
	}
	return apply(message)
}
