package storage

import (
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/ampipe/ampipe/pkg/fault"
)

const (
	ofKeysAzure = "the server does not accept the credentials; check AZURE_STORAGE_ACCOUNT and its key or token, and this machine's clock"
	ofLease     = "another program holds a lease on the file or the container; end it (az storage blob lease break)"
)

// azureCodes is what is decided for the codes that Azure Blob Storage publishes.
var azureCodes = map[string]advice{
	string(bloberror.ServerBusy):            {fault.ClassLater, ofThrottling},
	"IngressLimitExceeded":                  {fault.ClassLater, ofThrottling},
	"EgressLimitExceeded":                   {fault.ClassLater, ofThrottling},
	"OperationsPerSecondLimitExceeded":      {fault.ClassLater, ofThrottling},
	"TooManyRequests":                       {fault.ClassLater, ofThrottling},
	string(bloberror.InternalError):         {fault.ClassLater, ofTrouble},
	string(bloberror.OperationTimedOut):     {fault.ClassLater, ofTrouble},
	string(bloberror.AccountBeingCreated):   {fault.ClassLater, "the account is being made"},
	"Md5Mismatch":                           {fault.ClassLater, ofChanged},
	"Crc64Mismatch":                         {fault.ClassLater, ofChanged},
	string(bloberror.ContainerBeingDeleted): {fault.ClassPermanent, "use another container"},
	string(bloberror.ContainerDisabled):     {fault.ClassPermanent, ofState},
	string(bloberror.AccountIsDisabled):     {fault.ClassPermanent, ofState},
	string(bloberror.SystemInUse):           {fault.ClassLater, "something else is being done to the container"},
	string(bloberror.PendingCopyOperation):  {fault.ClassLater, "the file is being copied by another program"},
	string(bloberror.BlobBeingRehydrated):   {fault.ClassLater, ofClass},

	string(bloberror.AuthenticationFailed):        {fault.ClassPermanent, ofKeysAzure},
	string(bloberror.InvalidAuthenticationInfo):   {fault.ClassPermanent, ofKeysAzure},
	string(bloberror.NoAuthenticationInformation): {fault.ClassPermanent, ofKeysAzure},
	string(bloberror.AuthorizationFailure): {fault.ClassPermanent, "the server does not let these credentials or this machine in; " +
		"check AZURE_STORAGE_ACCOUNT and its key or token, " +
		"and the account's network rules"},
	string(bloberror.AuthorizationPermissionMismatch):   {fault.ClassPermanent, accessDenied},
	string(bloberror.AuthorizationResourceTypeMismatch): {fault.ClassPermanent, accessDenied},
	string(bloberror.AuthorizationServiceMismatch):      {fault.ClassPermanent, accessDenied},
	string(bloberror.InsufficientAccountPermissions):    {fault.ClassPermanent, accessDenied},
	string(bloberror.UnauthorizedBlobOverwrite):         {fault.ClassPermanent, accessDenied},
	"PublicAccessNotPermitted":                          {fault.ClassPermanent, accessDenied},
	"KeyBasedAuthenticationNotPermitted": {fault.ClassPermanent, "the account takes no keys; " +
		"take AZURE_STORAGE_KEY away, and use an identity"},
	string(bloberror.AuthorizationProtocolMismatch): {fault.ClassPermanent, "the token is for https:// only; write endpoint with it"},
	"AccountRequiresHttps": {fault.ClassPermanent, "the account is spoken to over TLS only; " +
		"write endpoint with https://"},
	string(bloberror.AuthorizationSourceIPMismatch): {fault.ClassPermanent, "the token is not for this machine's address; " +
		"make another one"},

	string(bloberror.ContainerNotFound): {fault.ClassPermanent, "the container does not exist; " +
		"create it, or correct url and endpoint"},
	string(bloberror.ResourceNotFound): {fault.ClassPermanent, "there is no such thing at that address; " +
		"correct url, AZURE_STORAGE_ACCOUNT and endpoint"},
	string(bloberror.InvalidResourceName):           {fault.ClassPermanent, "no container can have that name; correct url"},
	string(bloberror.OperationNotAllowedOnRootBlob): {fault.ClassPermanent, ofRequest},
	string(bloberror.BlobNotFound):                  {fault.ClassAgain, ofGone},
	string(bloberror.BlobAlreadyExists):             {fault.ClassAgain, ofTaken},
	string(bloberror.ConditionNotMet):               {fault.ClassAgain, ofTaken},
	string(bloberror.TargetConditionNotMet):         {fault.ClassAgain, ofTaken},
	string(bloberror.ResourceAlreadyExists):         {fault.ClassAgain, ofTaken},
	string(bloberror.ResourceTypeMismatch):          {fault.ClassPermanent, "a folder stands where the table needs a file"},
	string(bloberror.BlobArchived):                  {fault.ClassPermanent, ofClass},
	string(bloberror.BlobImmutableDueToPolicy):      {fault.ClassPermanent, ofRetention},
	string(bloberror.BlobOverwritten):               {fault.ClassAgain, "another program has written the file anew"},
	string(bloberror.InvalidRange):                  {fault.ClassAgain, ofRange},
	string(bloberror.InvalidBlobType): {fault.ClassPermanent, "another program has put a file of another kind there; " +
		"use an empty folder"},
	string(bloberror.BlobUsesCustomerSpecifiedEncryption): {fault.ClassPermanent, ofEncryption},
	string(bloberror.FeatureVersionMismatch):              {fault.ClassPermanent, ofRequest},
	string(bloberror.SnapshotsPresent):                    {fault.ClassPermanent, "the file has snapshots, which keep it; delete them"},

	string(bloberror.LeaseIDMissing):                        {fault.ClassLater, ofLease},
	string(bloberror.LeaseIDMismatchWithBlobOperation):      {fault.ClassLater, ofLease},
	string(bloberror.LeaseIDMismatchWithContainerOperation): {fault.ClassLater, ofLease},
	string(bloberror.LeaseAlreadyPresent):                   {fault.ClassLater, ofLease},

	string(bloberror.RequestBodyTooLarge):                  {fault.ClassPermanent, ofSize},
	string(bloberror.BlockCountExceedsLimit):               {fault.ClassPermanent, ofSize},
	string(bloberror.BlockListTooLong):                     {fault.ClassPermanent, ofSize},
	string(bloberror.InvalidBlockID):                       {fault.ClassAgain, ofUpload},
	string(bloberror.InvalidBlockList):                     {fault.ClassAgain, ofUpload},
	string(bloberror.InvalidBlobOrBlock):                   {fault.ClassAgain, ofUpload},
	string(bloberror.InvalidHeaderValue):                   {fault.ClassPermanent, ofRequest},
	string(bloberror.InvalidHTTPVerb):                      {fault.ClassPermanent, ofRequest},
	string(bloberror.InvalidInput):                         {fault.ClassPermanent, ofRequest},
	string(bloberror.InvalidMetadata):                      {fault.ClassPermanent, ofRequest},
	string(bloberror.InvalidOperation):                     {fault.ClassPermanent, ofRequest},
	"InvalidMd5":                                           {fault.ClassPermanent, ofRequest},
	string(bloberror.InvalidQueryParameterValue):           {fault.ClassPermanent, ofRequest},
	string(bloberror.InvalidURI):                           {fault.ClassPermanent, ofRequest},
	"InvalidRequestUrl":                                    {fault.ClassPermanent, ofRequest},
	string(bloberror.RequestURLFailedToParse):              {fault.ClassPermanent, ofRequest},
	string(bloberror.MissingContentLengthHeader):           {fault.ClassPermanent, ofRequest},
	string(bloberror.MissingRequiredHeader):                {fault.ClassPermanent, ofRequest},
	string(bloberror.MissingRequiredQueryParameter):        {fault.ClassPermanent, ofRequest},
	string(bloberror.OutOfRangeInput):                      {fault.ClassPermanent, ofRequest},
	string(bloberror.OutOfRangeQueryParameterValue):        {fault.ClassPermanent, ofRequest},
	string(bloberror.UnsupportedHeader):                    {fault.ClassPermanent, ofRequest},
	string(bloberror.UnsupportedHTTPVerb):                  {fault.ClassPermanent, ofRequest},
	string(bloberror.UnsupportedQueryParameter):            {fault.ClassPermanent, ofRequest},
	string(bloberror.ConditionHeadersNotSupported):         {fault.ClassPermanent, ofOperation},
	string(bloberror.MultipleConditionHeadersNotSupported): {fault.ClassPermanent, ofRequest},
	string(bloberror.MetadataTooLarge):                     {fault.ClassPermanent, ofRequest},
	string(bloberror.EmptyMetadataKey):                     {fault.ClassPermanent, ofRequest},
}

// azureUnasked are the published codes of operations that ampipe does not use: of
// accounts and containers, of leases, copies, snapshots, tiers, and of blobs of pages and
// of those that are appended to.
var azureUnasked = []string{
	"AccountAlreadyExists", "AppendPositionConditionNotMet", "BlobAccessTierNotSupportedForAccountType",
	"BlobNotArchived", "BlobTierInadequateForContentLength",
	"CannotChangeToLowerTier", "CannotVerifyCopySource", "ContainerAlreadyExists", "ContentLengthLargerThanTierLimit",
	"CopyAcrossAccountsNotSupported", "CopyIdMismatch",
	"ImmutabilityPolicyDeleteOnLockedPolicy", "IncrementalCopyBlobMismatch",
	"IncrementalCopyOfEarlierSnapshotNotAllowed", "IncrementalCopyOfEarlierVersionSnapshotNotAllowed",
	"IncrementalCopyOfEralierVersionSnapshotNotAllowed", "IncrementalCopySourceMustBeSnapshot",
	"InfiniteLeaseDurationRequired", "InvalidBlobTier", "InvalidPageRange",
	"InvalidSourceBlobType", "InvalidSourceBlobUrl", "InvalidVersionForPageBlobOperation", "InvalidXmlDocument",
	"InvalidXmlNodeValue", "LeaseAlreadyBroken",
	"LeaseIdMismatchWithLeaseOperation", "LeaseIsBreakingAndCannotBeAcquired", "LeaseIsBreakingAndCannotBeChanged",
	"LeaseIsBrokenAndCannotBeRenewed", "LeaseLost",
	"LeaseNotPresentWithBlobOperation", "LeaseNotPresentWithContainerOperation", "LeaseNotPresentWithLeaseOperation",
	"MaxBlobSizeConditionNotMet", "MissingRequiredXmlNode",
	"NoPendingCopyOperation", "OperationNotAllowedOnIncrementalCopyBlob", "PreviousSnapshotCannotBeNewer",
	"PreviousSnapshotNotFound", "PreviousSnapshotOperationNotSupported",
	"SequenceNumberConditionNotMet", "SequenceNumberIncrementTooLarge", "SnapshotCountExceeded",
	"SnapshotOperationRateExceeded", "SourceConditionNotMet", "UnsupportedXmlNode",
}
