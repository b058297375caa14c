// A Vault server for tests: the real core with the pki engine and AppRole, over HTTPS, in memory.
//
// It says where it listens and its root token in one line of JSON on standard error, and runs until it is killed.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"reflect"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/logical/pki"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// Nothing is loaded by name: what there is was compiled in.
type noPlugins struct{}

func (noPlugins) Contains(string, consts.PluginType) bool { return false }

func (noPlugins) Get(string, consts.PluginType) (func() (interface{}, error), bool) {
	return nil, false
}

func (noPlugins) Keys(consts.PluginType) []string { return nil }

func (noPlugins) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Unknown, false
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	certificate := flag.String("tls-cert", "", "PEM file")
	key := flag.String("tls-key", "", "PEM file")
	flag.Parse()
	logger := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Warn})
	storage, err := inmem.NewInmem(nil, logger)
	check(err)
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		DisableMlock:       true,
		Logger:             logger,
		BuiltinRegistry:    noPlugins{},
		LogicalBackends:    map[string]logical.Factory{"pki": pki.Factory},
		CredentialBackends: map[string]logical.Factory{"approle": approle.Factory},
	})
	check(err)
	seal := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(context.Background(), &vault.InitParams{BarrierConfig: seal})
	check(err)
	_, err = core.Unseal(made.SecretShares[0])
	check(err)
	completePaths(core)
	listener, err := net.Listen("tcp", *listen)
	check(err)
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core:           core,
		ListenerConfig: &configutil.Listener{},
	})
	line, err := json.Marshal(map[string]string{"address": listener.Addr().String(), "token": made.RootToken})
	check(err)
	fmt.Fprintln(os.Stderr, string(line))
	log.Fatal(http.ServeTLS(listener, handler, *certificate, *key))
}

// The sdk that the registry serves is a little younger than this Vault, and refuses paths of its enterprise edition that
// say they create something and not how to see whether it is there. Nobody calls them here.
func completePaths(core *vault.Core) {
	system := (*vault.SystemBackend)(reflect.ValueOf(core).Elem().FieldByName("systemBackend").UnsafePointer())
	for _, path := range system.Backend.Paths {
		_, creates := path.Operations[logical.CreateOperation]
		_, callsBack := path.Callbacks[logical.CreateOperation]
		if path.ExistenceCheck == nil && (creates || callsBack) {
			path.ExistenceCheck = func(context.Context, *logical.Request, *framework.FieldData) (bool, error) {
				return false, nil
			}
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
