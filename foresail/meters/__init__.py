"""Programs that count tokens or track runs, asked over HTTP."""
