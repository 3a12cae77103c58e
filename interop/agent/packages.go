package main

import (
	"context"
	"errors"
	"io"

	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/protobufs"
)

// packageStore is what the client library asks for before it reports package statuses. This agent
// downloads nothing: it declares every offered package installed.
type packageStore struct {
	statuses *protobufs.PackageStatuses
}

var errNoDownloads = errors.New("this agent downloads nothing")

func installed(offered *protobufs.PackagesAvailable) *protobufs.PackageStatuses {
	statuses := &protobufs.PackageStatuses{
		ServerProvidedAllPackagesHash: offered.AllPackagesHash,
		Packages:                      map[string]*protobufs.PackageStatus{},
	}
	for name, available := range offered.Packages {
		statuses.Packages[name] = &protobufs.PackageStatus{
			Name:                 name,
			AgentHasVersion:      available.Version,
			AgentHasHash:         available.Hash,
			ServerOfferedVersion: available.Version,
			ServerOfferedHash:    available.Hash,
			Status:               protobufs.PackageStatusEnum_PackageStatusEnum_Installed,
		}
	}
	return statuses
}

func (*packageStore) AllPackagesHash() ([]byte, error)       { return nil, nil }
func (*packageStore) SetAllPackagesHash([]byte) error        { return nil }
func (*packageStore) Packages() ([]string, error)            { return nil, nil }
func (*packageStore) DeletePackage(string) error             { return nil }
func (*packageStore) FileContentHash(string) ([]byte, error) { return nil, nil }

func (*packageStore) PackageState(string) (types.PackageState, error) {
	return types.PackageState{}, nil
}

func (*packageStore) SetPackageState(string, types.PackageState) error { return errNoDownloads }

func (*packageStore) CreatePackage(string, protobufs.PackageType) error { return errNoDownloads }

func (*packageStore) UpdateContent(context.Context, string, io.Reader, []byte, []byte) error {
	return errNoDownloads
}

func (s *packageStore) LastReportedStatuses() (*protobufs.PackageStatuses, error) {
	return s.statuses, nil
}

func (s *packageStore) SetLastReportedStatuses(statuses *protobufs.PackageStatuses) error {
	s.statuses = statuses
	return nil
}
