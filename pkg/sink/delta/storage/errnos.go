package storage

import "github.com/ampipe/ampipe/pkg/fault"

// The sentences that several errors share.
const (
	ofServer = "the server of the mounted file system, or the network to it, is in trouble; mend it"
	ofDevice = "the disk, or what is mounted there, is gone; mount it again"
	ofDamage = "the file system is damaged; check and mend it"
	ofLinks  = "the file system has to offer hard links; put the table on another one"
	ofName   = "the file system does not take such a name; put the table on another one, or give it a shorter path"
	ofKernel = "the operating system says this of no call on a file; its log may say more"
	ofKeys   = "the key of an encrypted or mounted file system is missing or has expired; unlock it, or log in again"
)

// errnos is what is decided for every error number of Linux and macOS, by its name. Most
// of them no call on a file returns.
var errnos = map[string]advice{
	"ENOSPC":  {fault.ClassLater, "the disk is full; make room there"},
	"EDQUOT":  {fault.ClassLater, "this user's quota is used up; make room there, or raise it"},
	"EMFILE":  {fault.ClassLater, "this process has too many files open; raise its limit (ulimit -n)"},
	"ENFILE":  {fault.ClassLater, "this machine has too many files open; raise fs.file-max"},
	"ENOMEM":  {fault.ClassLater, "this machine is out of memory"},
	"ENOBUFS": {fault.ClassLater, "this machine is out of memory"},
	"EAGAIN":  {fault.ClassLater, "something there is in use"},
	"EBUSY":   {fault.ClassLater, "something there is in use"},
	"ETXTBSY": {fault.ClassLater, "something there is in use"},
	"EINTR":   {fault.ClassLater, "the call was interrupted"},
	"EDEADLK": {fault.ClassLater, "another process holds a lock"},
	"ENOLCK":  {fault.ClassLater, "the file system has no lock to spare"},

	"EIO":          {fault.ClassLater, "the disk, or the server of the mounted file system, has failed; the machine's log says more"},
	"ENODEV":       {fault.ClassLater, ofDevice},
	"ENXIO":        {fault.ClassLater, ofDevice},
	"EFSCORRUPTED": {fault.ClassLater, ofDamage}, "EUCLEAN": {fault.ClassLater, ofDamage}, "EBADMSG": {fault.ClassLater, ofDamage},

	// Of what is mounted from elsewhere.
	"ESTALE":    {fault.ClassLater, "the server of the mounted file system does not know the file any more; mount it again"},
	"ETIMEDOUT": {fault.ClassLater, ofServer}, "EHOSTDOWN": {fault.ClassLater, ofServer}, "EHOSTUNREACH": {fault.ClassLater, ofServer},
	"ENETDOWN": {fault.ClassLater, ofServer}, "ENETUNREACH": {fault.ClassLater, ofServer}, "ENETRESET": {fault.ClassLater, ofServer},
	"ECONNABORTED": {fault.ClassLater, ofServer}, "ECONNREFUSED": {fault.ClassLater, ofServer}, "ECONNRESET": {fault.ClassLater, ofServer},
	"ENOTCONN": {fault.ClassLater, ofDevice}, "ESHUTDOWN": {fault.ClassLater, ofServer}, "EPIPE": {fault.ClassLater, ofServer},
	"ENOLINK": {fault.ClassLater, ofServer}, "ECOMM": {fault.ClassLater, ofServer}, "EREMOTEIO": {fault.ClassLater, ofServer},
	"EPROTO": {fault.ClassLater, ofServer}, "ETIME": {fault.ClassLater, ofServer}, "EREMCHG": {fault.ClassLater, ofServer},
	"ENONET": {fault.ClassLater, ofServer}, "EKEYEXPIRED": {fault.ClassLater, ofKeys}, "EKEYREVOKED": {fault.ClassLater, ofKeys},
	"EKEYREJECTED": {fault.ClassLater, ofKeys}, "ENOKEY": {fault.ClassLater, ofKeys}, "EAUTH": {fault.ClassLater, ofKeys}, "ENEEDAUTH": {fault.ClassLater, ofKeys},
	"EPWROFF": {fault.ClassLater, ofDevice}, "EDEVERR": {fault.ClassLater, ofDevice}, "ENOMEDIUM": {fault.ClassLater, ofDevice},
	"ERPCMISMATCH": {fault.ClassLater, ofServer}, "EBADRPC": {fault.ClassLater, ofServer}, "EHWPOISON": {fault.ClassLater, "the memory of this machine is damaged"},

	"EACCES":          {fault.ClassPermanent, "give this user the right to read and write there"},
	"EPERM":           {fault.ClassPermanent, "this user may not do that there, or the file system has no hard links; give it the right, or put the table on another file system"},
	"EROFS":           {fault.ClassPermanent, "the file system is read-only; mount it for writing, or put the table on another one"},
	"ENOTDIR":         {fault.ClassPermanent, "a file stands where the table needs a folder"},
	"EISDIR":          {fault.ClassPermanent, "a folder stands where the table needs a file"},
	"ENOTEMPTY":       {fault.ClassPermanent, "a folder stands where the table needs a file"},
	"ELOOP":           {fault.ClassPermanent, "the path leads in a circle of symbolic links; correct it"},
	"ENAMETOOLONG":    {fault.ClassPermanent, ofName},
	"EILSEQ":          {fault.ClassPermanent, ofName},
	"EFBIG":           {fault.ClassPermanent, "the file is larger than may be; raise the limit (ulimit -f), or lower target_file_size"},
	"EOVERFLOW":       {fault.ClassPermanent, "the file is larger than may be; lower target_file_size"},
	"EMLINK":          {fault.ClassPermanent, "the folder holds as many folders as the file system allows; have fewer partitions"},
	"EXDEV":           {fault.ClassPermanent, "parts of the table are on different file systems; have all of it on one"},
	"ENOTSUP":         {fault.ClassPermanent, ofLinks},
	"EOPNOTSUPP":      {fault.ClassPermanent, ofLinks},
	"ENOSYS":          {fault.ClassPermanent, ofLinks},
	"ENOTCAPABLE":     {fault.ClassPermanent, "this process may not do that there"},
	"EINVAL":          {fault.ClassAgain, "the file system does not do that; if it stays so, put the table on another one"},
	"ENOENT":          {fault.ClassAgain, "the folder was taken away, or nothing can be made in it"},
	"EEXIST":          {fault.ClassAgain, "something of that name is there"},
	"ERANGE":          {fault.ClassAgain, ofKernel},
	"EBADF":           {fault.ClassAgain, ofKernel},
	"EFAULT":          {fault.ClassAgain, ofKernel},
	"ESPIPE":          {fault.ClassAgain, ofKernel},
	"ECANCELED":       {fault.ClassAgain, ofKernel},
	"E2BIG":           {fault.ClassAgain, ofKernel},
	"EDOM":            {fault.ClassAgain, ofKernel},
	"ENOTTY":          {fault.ClassAgain, ofKernel},
	"EALREADY":        {fault.ClassAgain, ofKernel},
	"EINPROGRESS":     {fault.ClassAgain, ofKernel},
	"EISCONN":         {fault.ClassAgain, ofKernel},
	"EDESTADDRREQ":    {fault.ClassAgain, ofKernel},
	"EMSGSIZE":        {fault.ClassAgain, ofKernel},
	"EPROTOTYPE":      {fault.ClassAgain, ofKernel},
	"ENOPROTOOPT":     {fault.ClassAgain, ofKernel},
	"EPROTONOSUPPORT": {fault.ClassAgain, ofKernel},
	"ESOCKTNOSUPPORT": {fault.ClassAgain, ofKernel},
	"EPFNOSUPPORT":    {fault.ClassAgain, ofKernel},
	"EAFNOSUPPORT":    {fault.ClassAgain, ofKernel},
	"EADDRINUSE":      {fault.ClassAgain, ofKernel},
	"EADDRNOTAVAIL":   {fault.ClassAgain, ofKernel},
	"ETOOMANYREFS":    {fault.ClassAgain, ofKernel},
	"ENOTSOCK":        {fault.ClassAgain, ofKernel},
	"ENOTBLK":         {fault.ClassAgain, ofKernel},
	"ESRCH":           {fault.ClassAgain, ofKernel},
	"ECHILD":          {fault.ClassAgain, ofKernel},
	"ENOEXEC":         {fault.ClassAgain, ofKernel},
	"EUSERS":          {fault.ClassAgain, ofKernel},
	"EREMOTE":         {fault.ClassAgain, ofServer},
	"EPROCLIM":        {fault.ClassAgain, ofKernel},
	"EFTYPE":          {fault.ClassAgain, ofKernel},
	"ENOATTR":         {fault.ClassAgain, ofKernel},
	"ENOPOLICY":       {fault.ClassAgain, ofKernel},
	"EPROCUNAVAIL":    {fault.ClassAgain, ofServer},
	"EPROGMISMATCH":   {fault.ClassAgain, ofServer},
	"EPROGUNAVAIL":    {fault.ClassAgain, ofServer},
	"EBADEXEC":        {fault.ClassAgain, ofKernel}, "EBADARCH": {fault.ClassAgain, ofKernel}, "ESHLIBVERS": {fault.ClassAgain, ofKernel}, "EBADMACHO": {fault.ClassAgain, ofKernel},
	"EQFULL": {fault.ClassAgain, ofKernel},

	// Of streams, terminals, shared libraries and what else there was once.
	"ENOMSG": {fault.ClassAgain, ofKernel}, "EIDRM": {fault.ClassAgain, ofKernel}, "ECHRNG": {fault.ClassAgain, ofKernel},
	"EL2NSYNC": {fault.ClassAgain, ofKernel}, "EL3HLT": {fault.ClassAgain, ofKernel}, "EL3RST": {fault.ClassAgain, ofKernel},
	"ELNRNG": {fault.ClassAgain, ofKernel}, "EUNATCH": {fault.ClassAgain, ofKernel}, "ENOCSI": {fault.ClassAgain, ofKernel},
	"EL2HLT": {fault.ClassAgain, ofKernel}, "EBADE": {fault.ClassAgain, ofKernel}, "EBADR": {fault.ClassAgain, ofKernel},
	"EXFULL": {fault.ClassAgain, ofKernel}, "ENOANO": {fault.ClassAgain, ofKernel}, "EBADRQC": {fault.ClassAgain, ofKernel},
	"EBADSLT": {fault.ClassAgain, ofKernel}, "EBFONT": {fault.ClassAgain, ofKernel}, "ENOSTR": {fault.ClassAgain, ofKernel},
	"ENODATA": {fault.ClassAgain, ofKernel}, "ENOSR": {fault.ClassAgain, ofKernel}, "ENOPKG": {fault.ClassAgain, ofKernel},
	"EADV": {fault.ClassAgain, ofKernel}, "ESRMNT": {fault.ClassAgain, ofKernel}, "EMULTIHOP": {fault.ClassAgain, ofKernel},
	"EDOTDOT": {fault.ClassAgain, ofKernel}, "ENOTUNIQ": {fault.ClassAgain, ofKernel}, "EBADFD": {fault.ClassAgain, ofKernel},
	"ELIBACC": {fault.ClassAgain, ofKernel}, "ELIBBAD": {fault.ClassAgain, ofKernel}, "ELIBSCN": {fault.ClassAgain, ofKernel},
	"ELIBMAX": {fault.ClassAgain, ofKernel}, "ELIBEXEC": {fault.ClassAgain, ofKernel}, "ERESTART": {fault.ClassAgain, ofKernel},
	"ESTRPIPE": {fault.ClassAgain, ofKernel}, "ENOTNAM": {fault.ClassAgain, ofKernel}, "ENAVAIL": {fault.ClassAgain, ofKernel},
	"EISNAM": {fault.ClassAgain, ofKernel}, "EMEDIUMTYPE": {fault.ClassAgain, ofKernel}, "EOWNERDEAD": {fault.ClassAgain, ofKernel},
	"ENOTRECOVERABLE": {fault.ClassAgain, ofKernel}, "ERFKILL": {fault.ClassAgain, ofKernel},
}
