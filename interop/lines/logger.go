package lines

import (
	"context"
	"log"
)

// Logger passes the log of opamp-go on to standard error.
type Logger struct{}

// Debugf is part of opamp-go's logger.
func (Logger) Debugf(_ context.Context, format string, values ...any) {
	log.Printf("debug: "+format, values...)
}

// Errorf is part of opamp-go's logger.
func (Logger) Errorf(_ context.Context, format string, values ...any) {
	log.Printf("error: "+format, values...)
}
