package storage

import "github.com/ampipe/ampipe/pkg/fault"

// serverCodes is what is decided for the codes that clouds' servers publish, that their
// libraries repeat, and that servers which speak as they do add; and for the status of an
// answer whose code is unknown, which may be that of a proxy. In a row of several lines
// each cloud has its own: S3, Google, Azure, then statuses.
var serverCodes = decisions{
	{`SlowDown SlowDownRead SlowDownWrite Throttling ThrottlingException ThrottledException RequestThrottled
		RequestThrottledException RequestLimitExceeded TooManyRequestsException ProvisionedThroughputExceededException
		BandwidthLimitExceeded LimitExceededException EC2ThrottledException PriorRequestNotComplete
		TransactionInProgressException KMS.ThrottlingException
		rateLimitExceeded userRateLimitExceeded
		ServerBusy IngressLimitExceeded EgressLimitExceeded OperationsPerSecondLimitExceeded TooManyRequests
		425 429`,
		fault.ClassLater, "the server wants fewer requests"},
	{`InternalError ServiceUnavailable ServiceFailure XMinioBackendDown
		backendError internalError unavailable gatewayTimeout serviceUnavailable
		OperationTimedOut`,
		fault.ClassLater, "the server has an error of its own"},
	{`RequestTimeout RequestTimeoutException
		requestTimeout
		408`,
		fault.ClassLater, "the server waited too long for the request"},
	{"ResponseInterrupted", fault.ClassLater, "the answer was cut"},
	{"ConnectionClosedByRequester IncompleteBody uploadBrokenConnection", fault.ClassLater, "the request was cut"},
	{"TemporaryRedirect 307", fault.ClassLater, "the bucket is being moved"},
	{"OperationAborted", fault.ClassLater, "something else is being done to the bucket"},
	{"ConditionalRequestConflict", fault.ClassLater, "another writer is at the same name"},
	{`BadDigest XAmzContentChecksumMismatch XAmzContentSHA256Mismatch
		Md5Mismatch Crc64Mismatch`,
		fault.ClassLater, "the bytes were changed on the way"},
	{`RestoreAlreadyInProgress
		BlobBeingRehydrated`,
		fault.ClassLater, "the file was archived; bring it back, and let no rule archive files of a table"},
	{"RequestTimeTooSkewed",
		fault.ClassLater, "this machine's clock differs from the server's by more than 15 minutes; set it (timedatectl set-ntp true)"},
	{"QuotaExceeded XMinioAdminBucketQuotaExceeded",
		fault.ClassLater, "the bucket's quota is used up; make room, or raise it"},
	{"XMinioStorageFull InsufficientCapacity 507", fault.ClassLater, "the server is full; make room there"},
	{"XMinioServerNotInitialized", fault.ClassLater, "the server is starting"},
	{"quotaExceeded dailyLimitExceeded", fault.ClassLater, "a quota of the project is used up; raise it"},
	{"conflict aborted 409", fault.ClassLater, "something else is being done to the bucket or to the file"},
	{"AccountBeingCreated", fault.ClassLater, "the account is being made"},
	{"SystemInUse", fault.ClassLater, "something else is being done to the container"},
	{"PendingCopyOperation", fault.ClassLater, "the file is being copied by another program"},
	{"LeaseIdMissing LeaseIdMismatchWithBlobOperation LeaseIdMismatchWithContainerOperation LeaseAlreadyPresent",
		fault.ClassLater, "another program holds a lease on the file or the container; end it (az storage blob lease break)"},
	{`InvalidAccessKeyId SignatureDoesNotMatch InvalidToken InvalidClientTokenId InvalidSecurity InvalidSignature
		MissingAuthenticationToken MissingSecurityElement MissingSecurityHeader CredentialsNotSupported
		UnsupportedSignature TokenCodeInvalidError AuthorizationQueryParametersError Unauthorized`,
		fault.ClassPermanent, "the server does not accept the credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"},
	{"ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidSessionException RequestExpired",
		fault.ClassPermanent, "the server does not accept the credentials: their session is over; get new ones, and start again"},
	{`AccessDenied Forbidden UnauthorizedAccess UnauthorizedAccessError UnexpectedIPError
		forbidden insufficientPermissions accessDenied domainPolicy securityPolicyViolated orgPolicyConstraintFailed
		countryBlocked
		AuthorizationPermissionMismatch AuthorizationResourceTypeMismatch AuthorizationServiceMismatch
		InsufficientAccountPermissions UnauthorizedBlobOverwrite PublicAccessNotPermitted
		403`,
		fault.ClassPermanent, "access denied; give these credentials the rights to list, read, write and delete there"},
	{`AllAccessDisabled AccountProblem NotSignedUp InvalidPayer InvalidBucketState
		accountDisabled userAccountDisabled UserProjectAccountProblem billingNotEnabled UserProjectMissing
		UserProjectInvalid UserProjectInconsistent userProjectMissing
		ContainerDisabled AccountIsDisabled`,
		fault.ClassPermanent, "the bucket, or the account, is closed; open it, or use another one"},
	{`KMS.DisabledException KMS.InvalidKeyUsageException KMS.KMSInvalidStateException KMS.NotFoundException
		InvalidEncryptionAlgorithmError EncryptionTypeMismatch ServerSideEncryptionConfigurationNotFoundError
		UserKeyMustBeSpecified
		resourceIsEncryptedWithCustomerEncryptionKey customerEncryptionKeyIsIncorrect
		customerEncryptionAlgorithmIsInvalid customerEncryptionKeyFormatIsInvalid customerEncryptionKeySha256IsInvalid
		resourceNotEncryptedWithCustomerEncryptionKey cloudKmsBadKey cloudKmsCannotChangeKeyName
		cloudKmsDecryptionKeyNotFound cloudKmsDisabledKey cloudKmsEncryptionKeyNotFound cloudKmsKeyLocationNotAllowed
		BlobUsesCustomerSpecifiedEncryption`,
		fault.ClassPermanent, "the key that the bucket encrypts with cannot be used; mend its state, or let these credentials use it"},
	{`NoSuchBucket
		noSuchBucket`,
		fault.ClassPermanent, "the bucket does not exist; create it, or correct url and endpoint"},
	{"InvalidBucketName", fault.ClassPermanent, "no bucket can have that name; correct url"},
	{`PermanentRedirect Redirect AuthorizationHeaderMalformed IllegalLocationConstraintException
		InvalidLocationConstraint InvalidRegion IncorrectEndpoint EndpointNotFound`,
		fault.ClassPermanent, "the bucket is in another region; set region"},
	{`NoSuchAccessPoint InvalidAccessPoint InvalidAccessPointAliasError NoSuchMultiRegionAccessPoint NoSuchResource
		404 410`,
		fault.ClassPermanent, "there is no such thing at that address; correct url and endpoint"},
	{`InvalidHostHeader InvalidAddressingHeader InvalidURI InvalidArgument InvalidRequest InvalidHttpMethod
		InvalidDigest MissingContentLength MissingRequestBodyError UnexpectedContent UnsupportedArgument
		UnsupportedMediaType MalformedXML RequestHeaderSectionTooLarge MetadataTooLarge EntityTooSmall InvalidPrefix
		InvalidTag
		badRequest invalid invalidArgument invalidParameter invalidAltValue badException parseError turnedDown
		keyInvalid methodNotAllowed lengthRequired wrongUrlForUpload corsRequestOrigin
		OperationNotAllowedOnRootBlob FeatureVersionMismatch InvalidHeaderValue InvalidHttpVerb InvalidInput
		InvalidMetadata InvalidOperation InvalidMd5 InvalidQueryParameterValue InvalidUri InvalidRequestUrl
		RequestUrlFailedToParse MissingContentLengthHeader MissingRequiredHeader MissingRequiredQueryParameter
		OutOfRangeInput OutOfRangeQueryParameterValue UnsupportedHeader UnsupportedHttpVerb UnsupportedQueryParameter
		MultipleConditionHeadersNotSupported EmptyMetadataKey
		400 405`,
		fault.ClassPermanent, "the server does not take the request; check url and endpoint"},
	{"KeyTooLongError",
		fault.ClassPermanent, "the name of a file is longer than 1,024 bytes; give the table a shorter url, or have fewer partition columns"},
	{`NotImplemented
		notImplemented
		ConditionHeadersNotSupported
		501`,
		fault.ClassPermanent, "the server does not offer this operation; use another one, or a newer version of it"},
	{"MethodNotAllowed",
		fault.ClassPermanent, "the server does not offer this operation; correct endpoint, or use another server"},
	{`EntityTooLarge MaxMessageLengthExceeded TooManyParts
		uploadTooLarge
		RequestBodyTooLarge BlockCountExceedsLimit BlockListTooLong`,
		fault.ClassPermanent, "the server does not take so large a file; lower target_file_size"},
	{`InvalidObjectState ObjectNotInActiveTierError InvalidStorageClass
		BlobArchived`,
		fault.ClassPermanent, "the file was archived; bring it back, and let no rule archive files of a table"},
	{`ObjectLockConfigurationNotFoundError
		objectUnderActiveHold retentionPolicyNotMet preconditionForbidden
		BlobImmutableDueToPolicy`,
		fault.ClassPermanent, "a hold or retention policy of the bucket keeps the file; take it off, or use another bucket"},
	{`AccessControlListNotSupported InvalidBucketAclWithObjectOwnership OwnershipControlsNotFoundError
		InvalidBucketOwnerAWSAccountID`,
		fault.ClassPermanent, "ampipe asks for nothing of the kind; if it stays so, this is a bug: report it"},
	{"TagPolicyException",
		fault.ClassPermanent, "a tag policy of the organization refuses the file; except the table's folder"},
	{"authError unauthorized required expired invalidCredentials AuthenticationRequiredRequesterPays",
		fault.ClassPermanent, "the server does not accept the credentials; check GOOGLE_APPLICATION_CREDENTIALS"},
	{"accessNotConfigured", fault.ClassPermanent, "the project has not enabled Cloud Storage; do that"},
	{"sslRequired", fault.ClassPermanent, "the server is spoken to over TLS only; write endpoint with https://"},
	{"ContainerBeingDeleted", fault.ClassPermanent, "use another container"},
	{"AuthenticationFailed InvalidAuthenticationInfo NoAuthenticationInformation",
		fault.ClassPermanent, "the server does not accept the credentials; check AZURE_STORAGE_ACCOUNT and its key or " +
			"token, and this machine's clock"},
	{"AuthorizationFailure",
		fault.ClassPermanent, "the server does not let these credentials or this machine in; check AZURE_STORAGE_ACCOUNT " +
			"and its key or token, and the account's network rules"},
	{"KeyBasedAuthenticationNotPermitted",
		fault.ClassPermanent, "the account takes no keys; take AZURE_STORAGE_KEY away, and use an identity"},
	{"AuthorizationProtocolMismatch", fault.ClassPermanent, "the token is for https:// only; write endpoint with it"},
	{"AccountRequiresHttps",
		fault.ClassPermanent, "the account is spoken to over TLS only; write endpoint with https://"},
	{"AuthorizationSourceIPMismatch",
		fault.ClassPermanent, "the token is not for this machine's address; make another one"},
	{"ContainerNotFound",
		fault.ClassPermanent, "the container does not exist; create it, or correct url and endpoint"},
	{"ResourceNotFound",
		fault.ClassPermanent, "there is no such thing at that address; correct url, AZURE_STORAGE_ACCOUNT and endpoint"},
	{"InvalidResourceName", fault.ClassPermanent, "no container can have that name; correct url"},
	{"ResourceTypeMismatch", fault.ClassPermanent, "a folder stands where the table needs a file"},
	{"InvalidBlobType",
		fault.ClassPermanent, "another program has put a file of another kind there; use an empty folder"},
	{"SnapshotsPresent", fault.ClassPermanent, "the file has snapshots, which keep it; delete them"},
	{"301 308",
		fault.ClassPermanent, "the bucket is in another region, or at another endpoint; set region, or correct endpoint"},
	{"302", fault.ClassPermanent, "the answer leads elsewhere; correct endpoint"},
	{"401", fault.ClassPermanent, "the server does not accept the credentials"},
	{"402", fault.ClassPermanent, "the account has to be paid for"},
	{"407",
		fault.ClassPermanent, "a proxy wants a password; put it into HTTPS_PROXY, or except the server by NO_PROXY"},
	{"413", fault.ClassPermanent, "the server, or a proxy, does not take so large a file; lower target_file_size"},
	{"NoSuchKey NotFound NoSuchVersion notFound gone BlobNotFound", fault.ClassAgain, "the file is gone"},
	{"NoSuchUpload", fault.ClassAgain, "a rule of the bucket, or somebody, has ended the upload"},
	{"ObjectAlreadyInActiveTierError",
		fault.ClassAgain, "the file was archived; bring it back, and let no rule archive files of a table"},
	{`PreconditionFailed
		conditionNotMet
		BlobAlreadyExists ConditionNotMet TargetConditionNotMet ResourceAlreadyExists`,
		fault.ClassAgain, "the name is taken"},
	{"NotModified InvalidWriteOffset",
		fault.ClassAgain, "ampipe asks for nothing of the kind; if it stays so, this is a bug: report it"},
	{"IdempotencyParameterMismatch ClientTokenConflict", fault.ClassAgain, "another writer is at the same name"},
	{"InvalidPart InvalidPartOrder", fault.ClassAgain, "a part of the upload is gone"},
	{"InvalidRange requestedRangeNotSatisfiable", fault.ClassAgain, "the file is shorter than it was"},
	{"BlobOverwritten", fault.ClassAgain, "another program has written the file anew"},
	{"InvalidBlockId InvalidBlockList InvalidBlobOrBlock",
		fault.ClassAgain, "another program uploads to the same file"},
}
