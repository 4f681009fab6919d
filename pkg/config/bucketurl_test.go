package config_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// TestBucketURLs has the forms that people copy from other programs.
func TestBucketURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Delta{
		"s3://lake/logs/":                             {URL: "s3://lake/logs"},
		"s3://lake":                                   {URL: "s3://lake"},
		"s3://lake/logs\n":                            {URL: "s3://lake/logs"},
		"S3://lake/logs":                              {URL: "s3://lake/logs"},
		"s3a://lake/logs":                             {URL: "s3://lake/logs"},
		"s3://lake/a b/ü":                             {URL: "s3://lake/a%20b/%C3%BC"},
		"s3://lake/a%20b%23":                          {URL: "s3://lake/a%20b%23"},
		"s3://lake/a+b":                               {URL: "s3://lake/a+b"},
		"s3://lake/x?region=eu-west-1":                {URL: "s3://lake/x", Region: "eu-west-1"},
		"s3://lake/x?endpoint=http://h:9000/":         {URL: "s3://lake/x", Endpoint: "http://h:9000"},
		"s3://lake/x?s3ForcePathStyle=true":           {URL: "s3://lake/x?use_path_style=true"},
		"s3://lake/x?use_path_style=false&profile=p":  {URL: "s3://lake/x?profile=p&use_path_style=false"},
		"gs://lake/logs":                              {URL: "gs://lake/logs"},
		"gcs://lake/logs":                             {URL: "gs://lake/logs"},
		"azblob://lake/logs":                          {URL: "azblob://lake/logs"},
		"az://lake/logs":                              {URL: "azblob://lake/logs"},
		"az://lake/logs?storage_account=acc":          {URL: "azblob://lake/logs", Endpoint: "https://acc.blob.core.windows.net"},
		"abfss://lake/logs":                           {URL: "azblob://lake/logs"},
		"abfss://lake@acc.dfs.core.windows.net/logs":  {URL: "azblob://lake/logs", Endpoint: "https://acc.blob.core.windows.net"},
		"wasbs://lake@acc.blob.core.chinacloudapi.cn": {URL: "azblob://lake", Endpoint: "https://acc.blob.core.chinacloudapi.cn"},
	} {
		pipelines, err := config.Parse("f.yaml", deltaFile("url: "+strconv.Quote(text)), os.Getenv)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := pipelines[0].Sinks[0].Delta; got.URL != want.URL || got.Endpoint != want.Endpoint || got.Region != want.Region {
			t.Errorf("%q is %q at %q in %q, want %+v", text, got.URL, got.Endpoint, got.Region, want)
		}
	}
}

// TestBucketURLsThatAreRefused says all that is wrong, and no secret.
func TestBucketURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, wants := range map[string][]string{
		"lake/logs":                {"names no bucket"},
		"s3://":                    {"names no bucket"},
		"s3:///logs":               {"names no bucket"},
		"s3://localhost:9000/lake": {"names a server, not a bucket; write s3://bucket/folder, and the server as endpoint"},
		"s3://la ke/x":             {"characters that the name of a bucket cannot have"},
		"s3://lake/a\nb":           {"line feed"},
		"s3://lake/100%":           {"write it as %25"},
		"s3://lake/a#hunter2":      {"write it as %23"},
		"s3://lake/a//b":           {"is empty, . or .."},
		"s3://lake/../b":           {"is empty, . or .."},
		"s3://AKIA:hunter2@lake/x": {"must hold no user or password; credentials come from the environment, such as AWS_ACCESS_KEY_ID"},
		"s3://lake/x?aws_secret_access_key=hunter2&kmskeyid=k&color=hunter2&size=1": {"must hold no credentials", "has the parameter kmskeyid: set the encryption on the bucket",
			"has parameters that are unknown for s3://: color, size; take them out"},
		"s3://lake/x?X-Amz-Signature=hunter2":                     {"must hold no credentials"},
		"s3://lake/x?use_path_style=maybe":                        {"must be true or false"},
		"s3://lake/x?a=%zz":                                       {"write special characters as %XX"},
		"gs://lake/x?region=eu":                                   {"unknown for gs://: region"},
		"azblob://lake/x?sv=2024&sig=hunter2&se=2030&sp=rw&sr=c":  {"must hold no credentials (a parameter has some); they come from the environment, such as AZURE_STORAGE_SAS_TOKEN"},
		"https://lake.s3.amazonaws.com/x?X-Amz-Signature=hunter2": {"is a web address; write it as s3://bucket/folder"},
		"abfss://lake@acc/x":                                      {"must be abfss://container@account.dfs.core.windows.net/folder"},
		"abfss://w@onelake.dfs.fabric.microsoft.com/l":            {"OneLake"},
		"hdfs://h/x": {"HDFS"}, "dbfs:///x": {"Databricks"}, "adl://a/x": {"Gen1"}, "r2://b/x": {"the R2 account is the endpoint"},
		"ftp://h/x": {"must begin with s3://, gs:// or azblob://"},
	} {
		_, err := config.Parse("f.yaml", deltaFile("url: "+strconv.Quote(text)), os.Getenv)
		var wrong *config.Error
		if !errors.As(err, &wrong) {
			t.Errorf("%q is taken (%v)", text, err)
			continue
		}
		if len(wrong.Complaints) != len(wants) {
			t.Errorf("%q is answered with %d complaints: %v", text, len(wrong.Complaints), err)
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is answered with %v, want %q", text, err, want)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret is in %v", err)
		}
	}
	for keys, want := range map[string]string{
		"url: s3://b/x?region=a\nregion: b":                         "name two regions; keep one",
		"url: s3://b/x?endpoint=http://a:1\nendpoint: http://b:1":   "name two servers; keep one",
		"url: s3://b/x?endpoint=localhost:9000":                     "f.yaml:6:7: sinks[0].delta.url must be http://host:port",
		"url: s3://b/x?endpoint=http://user:hunter2@localhost:9000": "without a password",
	} {
		_, err := config.Parse("f.yaml", deltaFile(keys), os.Getenv)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q is answered with %v, want %q", keys, err, want)
		}
	}
}
