package queue

import (
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/ampipe/ampipe/pkg/fault"
)

const (
	// silent is the advice for a request that the server has not answered.
	silent = "NATS does not answer"
	// closed is the advice for a request on a connection that this process has closed.
	closed = "the connection was closed"

	ofBug = "this is a bug of ampipe: report it"
)

var ofTLS = advice{fault.ClassPermanent, "check the TLS files and whether the server wants TLS"}

// clientDecisions are the advice for every error that the client libraries publish
// and that has no code of the JetStream API; see decisions.
var clientDecisions = []decision[error]{
	{advice{fault.ClassLater, silent}, []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded,
		nats.ErrStaleConnection, nats.ErrNoServers, nats.ErrServerNotInPool, nats.ErrNoInfoReceived, nats.ErrTLS, nats.ErrDrainTimeout,
		jetstream.ErrNoStreamResponse, jetstream.ErrNoHeartbeat, jetstream.ErrServerShutdown, jetstream.ErrConsumerLeadershipChanged,
		jetstream.ErrAsyncPublishTimeout,
	}},
	{advice{fault.ClassLater, "something else than JetStream has answered"}, []error{
		jetstream.ErrInvalidJSAck, jetstream.ErrInvalidJetStreamResponse, jetstream.ErrConsumerCreationResponseEmpty,
		jetstream.ErrConsumerResetResponseEmpty, jetstreamext.ErrInvalidBatchAck, jetstreamext.ErrInvalidResponse,
	}},
	{advice{fault.ClassLater, "the consumer was deleted, and is made anew"}, []error{jetstream.ErrConsumerDeleted}},
	{advice{fault.ClassLater, "the NATS server has too many connections: " +
		"raise its max_connections"}, []error{nats.ErrMaxConnectionsExceeded}},
	{advice{fault.ClassLater, "the NATS account has too many connections: " +
		"raise its limit of connections"}, []error{nats.ErrMaxAccountConnectionsExceeded}},
	{advice{fault.ClassLater, "raise max_subscriptions of the NATS server"}, []error{nats.ErrMaxSubscriptionsExceeded}},
	{advice{fault.ClassLater, "messages came faster than they were read"}, []error{
		nats.ErrSlowConsumer, jetstream.ErrTooManyStalledMsgs, jetstreamext.ErrFastBatchGapDetected,
	}},

	{advice{fault.ClassPermanent, "check the user and its password, nkey or credentials file"}, []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
	}},
	{advice{fault.ClassPermanent, "give the user the right (deploy/nats/permissions.conf has what each process needs)"}, []error{
		nats.ErrPermissionViolation,
	}},
	{ofTLS, []error{
		nats.ErrSecureConnRequired, nats.ErrSecureConnWanted, nats.ErrConnectionNotTLS, nats.ErrMultipleTLSConfigs,
		nats.ErrClientCertOrRootCAsRequired,
	}},
	{advice{fault.ClassPermanent, "name in nats.url either ws:// and wss:// servers or nats:// and tls:// servers"}, []error{
		nats.ErrMixingWebsocketSchemes,
	}},
	{advice{fault.ClassPermanent, "raise max_payload of the NATS server"}, []error{nats.ErrMaxPayload}},
	{advice{fault.ClassPermanent, "the NATS server is too old for this version of ampipe: upgrade it"}, []error{
		nats.ErrNkeysNotSupported, nats.ErrHeadersNotSupported, nats.ErrNoEchoNotSupported, nats.ErrClientIDNotSupported,
		nats.ErrClientIPNotSupported,
		jetstream.ErrStreamSubjectTransformNotSupported, jetstream.ErrStreamSourceSubjectTransformNotSupported,
		jetstream.ErrStreamSourceNotSupported,
		jetstream.ErrStreamSourceMultipleFilterSubjectsNotSupported, jetstream.ErrConsumerMultipleFilterSubjectsNotSupported,
		jetstream.ErrTTLOnDeleteNotSupported, jetstream.ErrLimitMarkerTTLNotSupported, jetstreamext.ErrBatchUnsupported,
	}},
	{advice{fault.ClassPermanent, closed}, []error{
		nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrInvalidConnection, jetstream.ErrConnectionClosed,
		jetstream.ErrJetStreamPublisherClosed, jetstream.ErrMsgIteratorClosed, jetstreamext.ErrBatchClosed,
	}},
	{advice{fault.ClassPermanent, "another program has made this bucket otherwise: " +
		"delete it, or use an account of its own for ampipe"}, []error{
		jetstream.ErrBucketExists, jetstream.ErrBadBucket,
	}},

	// Answers that the caller understands, or that come again.
	{advice{fault.ClassAgain, ""}, []error{
		nats.ErrBadSubscription, nats.ErrMaxMessages, nats.ErrBadHeaderMsg, nats.ErrJsonParse, nats.ErrMsgNotBound, nats.ErrMsgNoReply,
		jetstream.ErrNoMessages, jetstream.ErrPinIDMismatch, jetstream.ErrMaxBytesExceeded, jetstream.ErrBatchCompleted, jetstream.ErrEndOfData,
		jetstream.ErrMsgAlreadyAckd, jetstream.ErrMsgNotBound, jetstream.ErrMsgNoReply, jetstream.ErrMsgDeleteUnsuccessful,
		jetstream.ErrNotJSMessage,
		jetstream.ErrKeyRevisionMismatch, jetstream.ErrKeyNotFound, jetstream.ErrKeyDeleted, jetstream.ErrNoKeysFound,
		jetstream.ErrBucketNotFound,
		jetstream.ErrOrderedConsumerReset, jetstreamext.ErrNoMessages,
	}},
	{advice{fault.ClassPermanent, ofBug}, []error{
		nats.ErrTypeSubscription, nats.ErrBadSubject, nats.ErrBadQueueName, nats.ErrBadTimeout, nats.ErrChanArg, nats.ErrSyncSubRequired,
		nats.ErrInvalidMsg, nats.ErrInvalidArg, nats.ErrInvalidContext, nats.ErrNoDeadlineContext, nats.ErrUserButNoSigCB, nats.ErrNkeyButNoSigCB,
		nats.ErrNoUserCB, nats.ErrNkeyAndUser, nats.ErrTokenAlreadySet, nats.ErrUserInfoAlreadySet, nats.ErrWebSocketHeadersAlreadySet,
		jetstream.ErrConsumerNameAlreadyInUse, jetstream.ErrNotPullConsumer, jetstream.ErrNotPushConsumer, jetstream.ErrConsumerAlreadyConsuming,
		jetstream.ErrStreamNameRequired, jetstream.ErrInvalidStreamName, jetstream.ErrInvalidSubject, jetstream.ErrInvalidConsumerName,
		jetstream.ErrHandlerRequired, jetstream.ErrConsumerHasActiveSubscription, jetstream.ErrAsyncPublishReplySubjectSet,
		jetstream.ErrInvalidOption,
		jetstream.ErrOrderConsumerUsedAsFetch, jetstream.ErrOrderConsumerUsedAsConsume, jetstream.ErrOrderedConsumerConcurrentRequests,
		jetstream.ErrOrderedConsumerNotCreated, jetstream.ErrKeyValueConfigRequired, jetstream.ErrInvalidBucketName, jetstream.ErrInvalidKey,
		jetstream.ErrHistoryTooLarge, jetstreamext.ErrEmptyBatch, jetstreamext.ErrInvalidOption, jetstreamext.ErrSubjectRequired,
		// Of object stores, which ampipe does not use.
		jetstream.ErrObjectConfigRequired, jetstream.ErrBadObjectMeta, jetstream.ErrObjectNotFound, jetstream.ErrInvalidStoreName,
		jetstream.ErrDigestMismatch, jetstream.ErrInvalidDigestFormat, jetstream.ErrNoObjectsFound, jetstream.ErrObjectAlreadyExists,
		jetstream.ErrNameRequired, jetstream.ErrLinkNotAllowed, jetstream.ErrObjectRequired, jetstream.ErrNoLinkToDeleted,
		jetstream.ErrNoLinkToLink,
		jetstream.ErrCantGetBucket, jetstream.ErrBucketRequired, jetstream.ErrBucketMalformed, jetstream.ErrUpdateMetaDeleted,
	}},
}

// decisionForClient returns what an error of the client libraries means.
func decisionForClient(err error) (a advice, known bool) {
	return adviceFor(clientDecisions, func(e error) bool { return errors.Is(err, e) })
}
