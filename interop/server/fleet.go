package main

import (
	"encoding/hex"
	"log"
	"sort"
	"sync"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"seawall/interop/lines"
)

// link is one connection; a plain-HTTP one lasts a single exchange.
type link struct {
	id    uint64
	plain bool
}

// agent is what the server believes about one agent. It lives as long as its connection, as in the
// library's example server.
type agent struct {
	uid   []byte
	link  link
	conn  types.Connection
	seq   uint64
	state *protobufs.AgentToServer
	// queue waits for replies: what could not be pushed, or was meant to ride on a reply.
	queue []*protobufs.ServerToAgent
}

type fleet struct {
	pushUID bool

	mutex       sync.Mutex
	agents      map[string]*agent
	connections map[uint64]types.Connection
	// silent: messages get no reply; acceptAndClose: connections end at once; refuse: they get
	// this status, with Retry-After.
	silent         bool
	acceptAndClose bool
	refuseStatus   int
	retryAfter     int
}

func (f *fleet) refusal() (status, retryAfter int) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.refuseStatus, f.retryAfter
}

func (f *fleet) connected(link link, conn types.Connection) {
	if link.plain {
		return
	}
	f.mutex.Lock()
	f.connections[link.id] = conn
	end := f.acceptAndClose
	f.mutex.Unlock()
	lines.Emit("connected", lines.Event{"conn": link.id})
	if end {
		_ = conn.Disconnect()
	}
}

// closed forgets the agents of a connection.
func (f *fleet) closed(link link) {
	if link.plain {
		return
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.connections, link.id)
	uids := []string{}
	for uid, agent := range f.agents {
		if agent.link == link {
			uids = append(uids, uid)
			delete(f.agents, uid)
		}
	}
	sort.Strings(uids)
	lines.Emit("closed", lines.Event{"conn": link.id, "uids": uids})
}

// received records a message, takes its state over and answers it.
func (f *fleet) received(link link, conn types.Connection, message *protobufs.AgentToServer) *protobufs.ServerToAgent {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	uid := hex.EncodeToString(message.InstanceUid)
	record, known := f.agents[uid]
	if !known {
		record = &agent{uid: message.InstanceUid, link: link, conn: conn, state: &protobufs.AgentToServer{}}
		f.agents[uid] = record
	}
	gap := known && message.SequenceNum != record.seq+1
	f.record(link, record, message, known, gap)
	if !link.plain && record.link != link {
		lines.Emit("moved", lines.Event{"uid": uid, "from": record.link.id, "to": link.id})
		record.link, record.conn = link, conn
	}
	record.seq = message.SequenceNum
	merge(record.state, message)
	if message.AgentDisconnect != nil {
		delete(f.agents, uid)
	}
	if f.silent {
		return nil
	}
	return record.reply(!known || gap, gap)
}

// record reports one message. The bytes are encoded again, which keeps unknown fields.
func (f *fleet) record(link link, record *agent, message *protobufs.AgentToServer, known, gap bool) {
	raw, err := proto.Marshal(message)
	if err != nil {
		log.Panicf("cannot encode what was decoded: %v", err)
	}
	event := lines.Message(message, raw)
	event["uid"] = hex.EncodeToString(message.InstanceUid)
	event["seq"] = message.SequenceNum
	event["conn"] = link.id
	event["known"] = known
	if gap {
		event["gap_after"] = record.seq
	}
	lines.Emit("received", event)
}

// reply answers a message: with the next queued one if there is any, and with the questions that
// the library's example server asks.
func (a *agent) reply(doubtful, gap bool) *protobufs.ServerToAgent {
	answer := &protobufs.ServerToAgent{}
	if len(a.queue) > 0 {
		answer, a.queue = a.queue[0], a.queue[1:]
	}
	answer.InstanceUid = a.uid
	answer.Capabilities = uint64(capabilities)
	if doubtful && (gap || a.incomplete()) {
		answer.Flags |= uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportFullState)
	}
	if components := a.state.AvailableComponents; len(components.GetHash()) > 0 && len(components.GetComponents()) == 0 {
		answer.Flags |= uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportAvailableComponents)
	}
	return answer
}

// incomplete says whether a status is missing that the agent declares it reports.
func (a *agent) incomplete() bool {
	declares := func(capability protobufs.AgentCapabilities) bool {
		return a.state.Capabilities&uint64(capability) != 0
	}
	return a.state.AgentDescription == nil ||
		a.state.Health == nil && declares(protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth) ||
		a.state.EffectiveConfig == nil && declares(protobufs.AgentCapabilities_AgentCapabilities_ReportsEffectiveConfig) ||
		a.state.RemoteConfigStatus == nil && declares(protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig) ||
		a.state.PackageStatuses == nil && declares(protobufs.AgentCapabilities_AgentCapabilities_ReportsPackageStatuses)
}

// merge takes over the fields that are set: status compression leaves out what did not change.
func merge(state, message *protobufs.AgentToServer) {
	target := state.ProtoReflect()
	proto.Clone(message).ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		target.Set(field, value)
		return true
	})
}
