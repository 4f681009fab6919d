package storage

import "github.com/ampipe/ampipe/pkg/fault"

const ofKeysGoogle = "the server does not accept the credentials; check GOOGLE_APPLICATION_CREDENTIALS"

// gcsCodes is what is decided for the reasons that the JSON API of Google Cloud Storage
// publishes.
var gcsCodes = map[string]advice{
	// What the library says of an answer of 404 about a bucket.
	"noSuchBucket": {fault.ClassPermanent, "the bucket does not exist; create it, or correct url and endpoint"},

	"rateLimitExceeded": {fault.ClassLater, ofThrottling}, "userRateLimitExceeded": {fault.ClassLater, ofThrottling},
	"quotaExceeded": {fault.ClassLater, "a quota of the project is used up; raise it"}, "dailyLimitExceeded": {fault.ClassLater, "a quota of the project is used up; raise it"},
	"backendError": {fault.ClassLater, ofTrouble}, "internalError": {fault.ClassLater, ofTrouble}, "unavailable": {fault.ClassLater, ofTrouble},
	"gatewayTimeout": {fault.ClassLater, ofTrouble}, "serviceUnavailable": {fault.ClassLater, ofTrouble},
	"uploadBrokenConnection": {fault.ClassLater, "the request was cut"}, "requestTimeout": {fault.ClassLater, "the server waited too long for the request"},
	"conflict": {fault.ClassLater, "something else is being done to the bucket or to the file"}, "aborted": {fault.ClassLater, "something else is being done to the bucket or to the file"},

	"authError": {fault.ClassPermanent, ofKeysGoogle}, "unauthorized": {fault.ClassPermanent, ofKeysGoogle}, "required": {fault.ClassPermanent, ofKeysGoogle},
	"expired": {fault.ClassPermanent, ofKeysGoogle}, "invalidCredentials": {fault.ClassPermanent, ofKeysGoogle}, "AuthenticationRequiredRequesterPays": {fault.ClassPermanent, ofKeysGoogle},
	"forbidden": {fault.ClassPermanent, accessDenied}, "insufficientPermissions": {fault.ClassPermanent, accessDenied}, "accessDenied": {fault.ClassPermanent, accessDenied},
	"domainPolicy": {fault.ClassPermanent, accessDenied}, "securityPolicyViolated": {fault.ClassPermanent, accessDenied}, "orgPolicyConstraintFailed": {fault.ClassPermanent, accessDenied},
	"countryBlocked": {fault.ClassPermanent, accessDenied}, "accessNotConfigured": {fault.ClassPermanent, "the project has not enabled Cloud Storage; do that"},
	"accountDisabled": {fault.ClassPermanent, ofState}, "userAccountDisabled": {fault.ClassPermanent, ofState}, "UserProjectAccountProblem": {fault.ClassPermanent, ofState},
	"billingNotEnabled": {fault.ClassPermanent, ofState}, "UserProjectMissing": {fault.ClassPermanent, ofState}, "UserProjectInvalid": {fault.ClassPermanent, ofState},
	"UserProjectInconsistent": {fault.ClassPermanent, ofState}, "userProjectMissing": {fault.ClassPermanent, ofState},
	"objectUnderActiveHold": {fault.ClassPermanent, ofRetention}, "retentionPolicyNotMet": {fault.ClassPermanent, ofRetention}, "preconditionForbidden": {fault.ClassPermanent, ofRetention},
	"sslRequired": {fault.ClassPermanent, "the server is spoken to over TLS only; write endpoint with https://"},
	"resourceIsEncryptedWithCustomerEncryptionKey": {fault.ClassPermanent, ofEncryption}, "customerEncryptionKeyIsIncorrect": {fault.ClassPermanent, ofEncryption},
	"customerEncryptionAlgorithmIsInvalid": {fault.ClassPermanent, ofEncryption}, "customerEncryptionKeyFormatIsInvalid": {fault.ClassPermanent, ofEncryption},
	"customerEncryptionKeySha256IsInvalid": {fault.ClassPermanent, ofEncryption}, "resourceNotEncryptedWithCustomerEncryptionKey": {fault.ClassPermanent, ofEncryption},
	"cloudKmsBadKey": {fault.ClassPermanent, ofEncryption}, "cloudKmsCannotChangeKeyName": {fault.ClassPermanent, ofEncryption}, "cloudKmsDecryptionKeyNotFound": {fault.ClassPermanent, ofEncryption},
	"cloudKmsDisabledKey": {fault.ClassPermanent, ofEncryption}, "cloudKmsEncryptionKeyNotFound": {fault.ClassPermanent, ofEncryption}, "cloudKmsKeyLocationNotAllowed": {fault.ClassPermanent, ofEncryption},
	"notFound": {fault.ClassAgain, "the file is gone"}, "gone": {fault.ClassAgain, "the file is gone"},
	"conditionNotMet": {fault.ClassAgain, "the name is taken"}, "requestedRangeNotSatisfiable": {fault.ClassAgain, "the file is shorter than it was"},

	"uploadTooLarge": {fault.ClassPermanent, "the server does not take so large a file; lower target_file_size"},
	"badRequest":     {fault.ClassPermanent, ofRequest}, "invalid": {fault.ClassPermanent, ofRequest}, "invalidArgument": {fault.ClassPermanent, ofRequest},
	"invalidParameter": {fault.ClassPermanent, ofRequest}, "invalidAltValue": {fault.ClassPermanent, ofRequest}, "badException": {fault.ClassPermanent, ofRequest},
	"parseError": {fault.ClassPermanent, ofRequest}, "turnedDown": {fault.ClassPermanent, ofRequest}, "keyInvalid": {fault.ClassPermanent, ofRequest},
	"methodNotAllowed": {fault.ClassPermanent, ofRequest}, "lengthRequired": {fault.ClassPermanent, ofRequest}, "wrongUrlForUpload": {fault.ClassPermanent, ofRequest},
	"corsRequestOrigin": {fault.ClassPermanent, ofRequest}, "notImplemented": {fault.ClassPermanent, "the server does not offer this operation; use another one, or a newer version of it"},
}
