package storage

import "github.com/ampipe/ampipe/pkg/fault"

const (
	ofKeysS3   = "the server does not accept the credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"
	ofTokenS3  = "the server does not accept the credentials: their session is over; get new ones, and start again"
	ofRegionS3 = "the bucket is in another region; set region"
)

// s3Codes is what is decided for the codes that Amazon S3 publishes, that its library
// repeats, and that servers which speak as it does add.
var s3Codes = map[string]advice{
	// Throttling.
	"SlowDown": {fault.ClassLater, ofThrottling}, "SlowDownRead": {fault.ClassLater, ofThrottling}, "SlowDownWrite": {fault.ClassLater, ofThrottling},
	"Throttling": {fault.ClassLater, ofThrottling}, "ThrottlingException": {fault.ClassLater, ofThrottling},
	"ThrottledException": {fault.ClassLater, ofThrottling}, "RequestThrottled": {fault.ClassLater, ofThrottling},
	"RequestThrottledException": {fault.ClassLater, ofThrottling}, "RequestLimitExceeded": {fault.ClassLater, ofThrottling},
	"TooManyRequestsException": {fault.ClassLater, ofThrottling}, "ProvisionedThroughputExceededException": {fault.ClassLater, ofThrottling},
	"BandwidthLimitExceeded": {fault.ClassLater, ofThrottling}, "LimitExceededException": {fault.ClassLater, ofThrottling},
	"EC2ThrottledException": {fault.ClassLater, ofThrottling}, "PriorRequestNotComplete": {fault.ClassLater, ofThrottling},
	"TransactionInProgressException": {fault.ClassLater, ofThrottling}, "KMS.ThrottlingException": {fault.ClassLater, ofThrottling},

	// What passes.
	"InternalError": {fault.ClassLater, ofTrouble}, "ServiceUnavailable": {fault.ClassLater, ofTrouble}, "ServiceFailure": {fault.ClassLater, ofTrouble},
	"RequestTimeout": {fault.ClassLater, "the server waited too long for the request"}, "RequestTimeoutException": {fault.ClassLater, "the server waited too long for the request"},
	"ResponseInterrupted": {fault.ClassLater, "the answer was cut"}, "ConnectionClosedByRequester": {fault.ClassLater, "the request was cut"},
	"IncompleteBody": {fault.ClassLater, "the request was cut"}, "TemporaryRedirect": {fault.ClassLater, "the bucket is being moved"},
	"OperationAborted": {fault.ClassLater, "something else is being done to the bucket"}, "ConditionalRequestConflict": {fault.ClassLater, "another writer is at the same name"},
	"BadDigest": {fault.ClassLater, "the bytes were changed on the way"}, "XAmzContentChecksumMismatch": {fault.ClassLater, "the bytes were changed on the way"},
	"RestoreAlreadyInProgress":       {fault.ClassLater, ofClass},
	"RequestTimeTooSkewed":           {fault.ClassLater, "this machine's clock differs from the server's by more than 15 minutes; set it (timedatectl set-ntp true)"},
	"QuotaExceeded":                  {fault.ClassLater, "the bucket's quota is used up; make room, or raise it"},
	"XMinioAdminBucketQuotaExceeded": {fault.ClassLater, "the bucket's quota is used up; make room, or raise it"},
	"XMinioStorageFull":              {fault.ClassLater, "the server is full; make room there"},
	"XMinioServerNotInitialized":     {fault.ClassLater, "the server is starting"}, "XMinioBackendDown": {fault.ClassLater, ofTrouble},
	"InsufficientCapacity": {fault.ClassLater, "the server is full; make room there"},

	// Credentials and rights.
	"InvalidAccessKeyId": {fault.ClassPermanent, ofKeysS3}, "SignatureDoesNotMatch": {fault.ClassPermanent, ofKeysS3},
	"InvalidToken": {fault.ClassPermanent, ofKeysS3}, "InvalidClientTokenId": {fault.ClassPermanent, ofKeysS3}, "InvalidSecurity": {fault.ClassPermanent, ofKeysS3},
	"InvalidSignature": {fault.ClassPermanent, ofKeysS3}, "MissingAuthenticationToken": {fault.ClassPermanent, ofKeysS3},
	"MissingSecurityElement": {fault.ClassPermanent, ofKeysS3}, "MissingSecurityHeader": {fault.ClassPermanent, ofKeysS3},
	"CredentialsNotSupported": {fault.ClassPermanent, ofKeysS3}, "UnsupportedSignature": {fault.ClassPermanent, ofKeysS3}, "TokenCodeInvalidError": {fault.ClassPermanent, ofKeysS3},
	"AuthorizationQueryParametersError": {fault.ClassPermanent, ofKeysS3}, "Unauthorized": {fault.ClassPermanent, ofKeysS3},
	"ExpiredToken": {fault.ClassPermanent, ofTokenS3}, "ExpiredTokenException": {fault.ClassPermanent, ofTokenS3}, "TokenRefreshRequired": {fault.ClassPermanent, ofTokenS3},
	"InvalidSessionException": {fault.ClassPermanent, ofTokenS3}, "RequestExpired": {fault.ClassPermanent, ofTokenS3},
	"AccessDenied": {fault.ClassPermanent, accessDenied}, "Forbidden": {fault.ClassPermanent, accessDenied}, "UnauthorizedAccess": {fault.ClassPermanent, accessDenied},
	"UnauthorizedAccessError": {fault.ClassPermanent, accessDenied}, "UnexpectedIPError": {fault.ClassPermanent, accessDenied},
	"AllAccessDisabled": {fault.ClassPermanent, ofState}, "AccountProblem": {fault.ClassPermanent, ofState}, "NotSignedUp": {fault.ClassPermanent, ofState},
	"InvalidPayer": {fault.ClassPermanent, ofState}, "InvalidBucketState": {fault.ClassPermanent, ofState},
	"KMS.DisabledException": {fault.ClassPermanent, ofEncryption}, "KMS.InvalidKeyUsageException": {fault.ClassPermanent, ofEncryption},
	"KMS.KMSInvalidStateException": {fault.ClassPermanent, ofEncryption}, "KMS.NotFoundException": {fault.ClassPermanent, ofEncryption},
	"InvalidEncryptionAlgorithmError": {fault.ClassPermanent, ofEncryption}, "EncryptionTypeMismatch": {fault.ClassPermanent, ofEncryption},
	"ServerSideEncryptionConfigurationNotFoundError": {fault.ClassPermanent, ofEncryption}, "UserKeyMustBeSpecified": {fault.ClassPermanent, ofEncryption},

	// Where it is.
	"NoSuchBucket": {fault.ClassPermanent, "the bucket does not exist; create it, or correct url and endpoint"},
	"NoSuchKey":    {fault.ClassAgain, "the file is gone"}, "NotFound": {fault.ClassAgain, "the file is gone"}, "NoSuchVersion": {fault.ClassAgain, "the file is gone"},
	"NoSuchUpload":      {fault.ClassAgain, "a rule of the bucket, or somebody, has ended the upload"},
	"InvalidBucketName": {fault.ClassPermanent, "no bucket can have that name; correct url"},
	"PermanentRedirect": {fault.ClassPermanent, ofRegionS3}, "Redirect": {fault.ClassPermanent, ofRegionS3}, "AuthorizationHeaderMalformed": {fault.ClassPermanent, ofRegionS3},
	"IllegalLocationConstraintException": {fault.ClassPermanent, ofRegionS3}, "InvalidLocationConstraint": {fault.ClassPermanent, ofRegionS3},
	"InvalidRegion": {fault.ClassPermanent, ofRegionS3}, "IncorrectEndpoint": {fault.ClassPermanent, ofRegionS3}, "EndpointNotFound": {fault.ClassPermanent, ofRegionS3},
	"NoSuchAccessPoint": {fault.ClassPermanent, ofName404}, "InvalidAccessPoint": {fault.ClassPermanent, ofName404}, "InvalidAccessPointAliasError": {fault.ClassPermanent, ofName404},
	"NoSuchMultiRegionAccessPoint": {fault.ClassPermanent, ofName404}, "NoSuchResource": {fault.ClassPermanent, ofName404},
	"InvalidHostHeader": {fault.ClassPermanent, ofRequest}, "InvalidAddressingHeader": {fault.ClassPermanent, ofRequest}, "InvalidURI": {fault.ClassPermanent, ofRequest},
	"KeyTooLongError": {fault.ClassPermanent, "the name of a file is longer than 1,024 bytes; give the table a shorter url, or have fewer partition columns"},

	// What the server, or its bucket, is set to.
	"NotImplemented":           {fault.ClassPermanent, "the server does not offer this operation; use another one, or a newer version of it"},
	"MethodNotAllowed":         {fault.ClassPermanent, "the server does not offer this operation; correct endpoint, or use another server"},
	"EntityTooLarge":           {fault.ClassPermanent, "the server does not take so large a file; lower target_file_size"},
	"MaxMessageLengthExceeded": {fault.ClassPermanent, "the server does not take so large a file; lower target_file_size"},
	"TooManyParts":             {fault.ClassPermanent, "the server does not take so large a file; lower target_file_size"},
	"InvalidObjectState":       {fault.ClassPermanent, ofClass}, "ObjectNotInActiveTierError": {fault.ClassPermanent, ofClass}, "ObjectAlreadyInActiveTierError": {fault.ClassAgain, ofClass},
	"InvalidStorageClass": {fault.ClassPermanent, ofClass}, "ObjectLockConfigurationNotFoundError": {fault.ClassPermanent, ofRetention},
	"AccessControlListNotSupported": {fault.ClassPermanent, ofOthers}, "InvalidBucketAclWithObjectOwnership": {fault.ClassPermanent, ofOthers},
	"OwnershipControlsNotFoundError": {fault.ClassPermanent, ofOthers}, "InvalidBucketOwnerAWSAccountID": {fault.ClassPermanent, ofOthers},
	"PreconditionFailed": {fault.ClassAgain, "the name is taken"}, "NotModified": {fault.ClassAgain, ofOthers},
	"IdempotencyParameterMismatch": {fault.ClassAgain, "another writer is at the same name"}, "ClientTokenConflict": {fault.ClassAgain, "another writer is at the same name"},

	// What is wrong with a request itself.
	"InvalidArgument": {fault.ClassPermanent, ofRequest}, "InvalidRequest": {fault.ClassPermanent, ofRequest}, "InvalidHttpMethod": {fault.ClassPermanent, ofRequest},
	"InvalidDigest": {fault.ClassPermanent, ofRequest}, "XAmzContentSHA256Mismatch": {fault.ClassLater, "the bytes were changed on the way"},
	"MissingContentLength": {fault.ClassPermanent, ofRequest}, "MissingRequestBodyError": {fault.ClassPermanent, ofRequest}, "UnexpectedContent": {fault.ClassPermanent, ofRequest},
	"UnsupportedArgument": {fault.ClassPermanent, ofRequest}, "UnsupportedMediaType": {fault.ClassPermanent, ofRequest}, "MalformedXML": {fault.ClassPermanent, ofRequest},
	"RequestHeaderSectionTooLarge": {fault.ClassPermanent, ofRequest}, "MetadataTooLarge": {fault.ClassPermanent, ofRequest}, "EntityTooSmall": {fault.ClassPermanent, ofRequest},
	"InvalidPart": {fault.ClassAgain, "a part of the upload is gone"}, "InvalidPartOrder": {fault.ClassAgain, "a part of the upload is gone"}, "InvalidRange": {fault.ClassAgain, "the file is shorter than it was"},
	"InvalidWriteOffset": {fault.ClassAgain, ofOthers}, "InvalidPrefix": {fault.ClassPermanent, ofRequest}, "InvalidTag": {fault.ClassPermanent, ofRequest}, "TagPolicyException": {fault.ClassPermanent, "a tag policy of the organization refuses the file; except the table's folder"},
}

// s3Unasked are the published codes of operations that ampipe does not use: of making
// and configuring buckets, of forms, policies, websites, torrents, SOAP and select.
var s3Unasked = []string{
	"AccessPointAlreadyOwnedByYou", "AmbiguousGrantByEmailAddress", "AnnotationLimitExceeded", "AnnotationNameTooLong", "BucketAlreadyExists",
	"BucketAlreadyOwnedByYou", "BucketHasAccessPointsAttached", "BucketNotEmpty", "CannotVerifyCopySource", "CrossLocationLoggingProhibited", "DeviceNotActiveError",
	"IllegalVersioningConfigurationException", "IncorrectNumberOfFilesInPostRequest", "InlineDataTooLarge", "InvalidAnnotationName", "InvalidPolicyDocument",
	"InvalidSOAPRequest", "InvalidTargetBucketForLogging", "MalformedACLError", "MalformedPOSTRequest", "MalformedPolicy", "MaxPostPreDataLengthExceededError",
	"MissingAttachment", "NoLoggingStatusForKey", "NoSuchAnnotation", "NoSuchAsyncRequest", "NoSuchBucketPolicy", "NoSuchCORSConfiguration", "NoSuchLifecycleConfiguration",
	"NoSuchObjectLockConfiguration", "NoSuchTagSet", "NoSuchWebsiteConfiguration", "NoTransformationDefined", "NotDeviceOwnerError", "RequestIsNotMultiPartContent",
	"RequestTorrentOfBucketError", "TooManyAccessPoints", "TooManyBuckets", "TooManyMultiRegionAccessPoints", "TooManyMultiRegionAccessPointregionsError", "UnresolvableGrantByEmailAddress",
}
