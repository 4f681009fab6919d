package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
)

func parse(args []string) (server.Options, error) {
	var o server.Options
	config := chain.DefaultConfig()
	fs := flag.NewFlagSet("devserver", flag.ContinueOnError)
	var parquet []string
	fs.StringVar(&o.Listen, "listen", "127.0.0.1:0", "address of the Flight listener; port 0 is any free one")
	level := fs.String("log", "info", "log level; debug shows every call")
	name := fs.String("chain", "", "offer a made-up chain as dataset `NAME`")
	fs.Func("parquet", "offer `NAME=DIR` as dataset: a folder of Parquet files per table (repeatable)", func(value string) error {
		parquet = append(parquet, value)
		return nil
	})
	network := fs.String("network", "", "network of the datasets (default anvil for a chain, the files' own for Parquet)")
	fs.Uint64Var(&config.Seed, "seed", config.Seed, "what the chain is made up from; equal seeds give equal rows")
	start := fs.Uint64("start", 0, "first block of the chain")
	fs.Uint64Var(&config.Blocks, "blocks", config.Blocks, "length of the chain")
	logs := fs.Uint("logs-per-block", uint(config.Logs), "mean logs per block")
	txs := fs.Uint("txs", uint(config.Transactions), "mean transactions per block")
	skew := fs.String("skew", "", "`ROWS/BLOCKS[/contiguous]`: 0.9/0.1 puts 90 % of the rows in 10 % of the blocks")
	fs.DurationVar(&config.BlockTime, "block-time", config.BlockTime, "time between two blocks")
	live := fs.Bool("live", false, "let the chain grow by a block every block time")
	var growth chain.Growth
	fs.Uint64Var(&growth.ReorgEvery, "reorg-every", 0, "with --live: blocks between two reorgs on average; 0 is no reorgs")
	depth := fs.String("reorg-depth", "1-8/2", "`N`, LEAST-MOST or LEAST-MOST/MEAN: how many blocks a reorg replaces")
	fs.Uint64Var(&o.Streaming.Window, "window", 1000, "blocks of a microbatch at most")
	fs.DurationVar(&o.Streaming.KeepAlive, "keep-alive", 30*time.Second, "time between empty batches while a microbatch executes")
	genesis := fs.String("genesis", config.Genesis.Format(time.RFC3339), "time of block 0")
	fs.StringVar(&o.Control, "control", "", "address of the control API, such as 127.0.0.1:0; empty is none")
	faultFlags(fs, &o.Faults)
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", fs.Arg(0))
	}
	var err error
	if o.Log, err = logger(*level); err != nil {
		return o, err
	}
	if config.Skew, err = chain.ParseSkew(*skew); err != nil {
		return o, err
	}
	if config.Genesis, err = time.Parse(time.RFC3339, *genesis); err != nil {
		return o, fmt.Errorf("genesis %q is not a time such as 2024-01-01T00:00:00Z", *genesis)
	}
	if growth.Depth, err = chain.ParseDepth(*depth); err != nil {
		return o, err
	}
	switch {
	case *live && *name == "":
		return o, errors.New("--live needs a made-up chain: give --chain NAME")
	case *live:
		growth.Every = config.BlockTime
	case growth.ReorgEvery > 0:
		return o, errors.New("--reorg-every needs --live")
	}
	config.Start, config.Logs, config.Transactions = block.Number(*start), uint32(*logs), uint32(*txs)
	if *network != "" {
		config.Network = *network
	}
	o.Catalog = new(table.Catalog)
	if *name != "" {
		miner, err := addChain(o.Catalog, *name, config, growth)
		if err != nil {
			return o, err
		}
		o.Miners = append(o.Miners, miner)
	}
	for _, p := range parquet {
		if err := addParquet(o.Catalog, p, *network); err != nil {
			return o, err
		}
	}
	if *name == "" && len(parquet) == 0 {
		return o, errors.New("nothing to offer: give --chain NAME or --parquet NAME=DIR")
	}
	return o, nil
}

func addChain(catalog *table.Catalog, name string, config chain.Config, growth chain.Growth) (*chain.Miner, error) {
	ref, err := table.ParseRef(name)
	if err != nil {
		return nil, err
	}
	c, err := chain.New(config)
	if err != nil {
		return nil, err
	}
	if err := catalog.Add(chain.NewDataset(c, ref)); err != nil {
		return nil, err
	}
	return chain.NewMiner(c, growth)
}

func addParquet(catalog *table.Catalog, flag, network string) error {
	name, dir, found := strings.Cut(flag, "=")
	if !found {
		return fmt.Errorf("--parquet %s is not NAME=DIR", flag)
	}
	ref, err := table.ParseRef(name)
	if err != nil {
		return err
	}
	d, err := table.OpenParquet(ref, dir, network)
	if err != nil {
		return err
	}
	return catalog.Add(d)
}
