// Command server is a stock opamp-go server that keeps each agent's state as the library's example
// server does, records what it is sent, and pushes what the test harness tells it (package lines).
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"

	"seawall/interop/lines"
)

const capabilities = protobufs.ServerCapabilities_ServerCapabilities_AcceptsStatus |
	protobufs.ServerCapabilities_ServerCapabilities_OffersRemoteConfig |
	protobufs.ServerCapabilities_ServerCapabilities_AcceptsEffectiveConfig |
	protobufs.ServerCapabilities_ServerCapabilities_OffersPackages |
	protobufs.ServerCapabilities_ServerCapabilities_AcceptsPackagesStatus |
	protobufs.ServerCapabilities_ServerCapabilities_OffersConnectionSettings |
	protobufs.ServerCapabilities_ServerCapabilities_AcceptsConnectionSettingsRequest

// customCapability is spoken by the agent and the server of these tests.
const customCapability = "seawall.interop"

func main() {
	listen := flag.String("listen", "127.0.0.1:4321", "address of the OpAMP endpoint")
	pushUID := flag.Bool("push-uid", true, "put the agent's uid into pushes")
	flag.Parse()
	log.SetFlags(log.Lmicroseconds)

	fleet := &fleet{pushUID: *pushUID, agents: map[string]*agent{}, connections: map[uint64]types.Connection{}}
	opamp := server.New(lines.Logger{})
	settings := server.StartSettings{ListenEndpoint: *listen}
	settings.CustomCapabilities = []string{customCapability}
	settings.Callbacks.OnConnecting = fleet.accept
	if err := opamp.Start(settings); err != nil {
		log.Fatalf("start: %v", err)
	}
	lines.Emit("started", lines.Event{"listen": opamp.Addr().String()})
	if err := lines.Serve(fleet.command); err != nil {
		log.Fatalf("commands: %v", err)
	}
}

// connectionIDs numbers the connections in the order of their requests, from 1.
var connectionIDs atomic.Uint64

// accept decides about one upgrade or POST and gives the connection a number of its own.
func (f *fleet) accept(request *http.Request) types.ConnectionResponse {
	plain := request.Header.Get("Content-Type") == "application/x-protobuf"
	if !plain {
		lines.Emit("dial", lines.Event{"origin": request.Header.Get("Origin")})
	}
	if status, retryAfter := f.refusal(); status != 0 {
		refuse := types.ConnectionResponse{HTTPStatusCode: status}
		if retryAfter > 0 {
			refuse.HTTPResponseHeader = map[string]string{"Retry-After": strconv.Itoa(retryAfter)}
		}
		return refuse
	}
	link := link{id: connectionIDs.Add(1), plain: plain}
	return types.ConnectionResponse{Accept: true, ConnectionCallbacks: types.ConnectionCallbacks{
		OnConnected: func(_ context.Context, conn types.Connection) {
			f.connected(link, conn)
		},
		OnMessage: func(_ context.Context, conn types.Connection, message *protobufs.AgentToServer) *protobufs.ServerToAgent {
			return f.received(link, conn, message)
		},
		OnConnectionClose: func(types.Connection) { f.closed(link) },
		OnReadMessageError: func(_ types.Connection, _ int, _ []byte, err error) {
			lines.Emit("read_error", lines.Event{"conn": link.id, "error": err.Error()})
		},
	}}
}
