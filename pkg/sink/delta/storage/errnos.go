package storage

import "github.com/ampipe/ampipe/pkg/fault"

// errnos is what is decided for every error number of Linux and macOS, by its name. Most
// of them no call on a file returns.
var errnos = decisions{
	{"ENOSPC", fault.ClassLater, "the disk is full; make room there"},
	{"EDQUOT", fault.ClassLater, "this user's quota is used up; make room there, or raise it"},
	{"EMFILE", fault.ClassLater, "this process has too many files open; raise its limit (ulimit -n)"},
	{"ENFILE", fault.ClassLater, "this machine has too many files open; raise fs.file-max"},
	{"ENOMEM ENOBUFS", fault.ClassLater, "this machine is out of memory"},
	{"EAGAIN EBUSY ETXTBSY", fault.ClassLater, "something there is in use"},
	{"EINTR", fault.ClassLater, "the call was interrupted"},
	{"EDEADLK", fault.ClassLater, "another process holds a lock"},
	{"ENOLCK", fault.ClassLater, "the file system has no lock to spare"},
	{"EIO",
		fault.ClassLater, "the disk, or the server of the mounted file system, has failed; the machine's log says more"},
	{"ENODEV ENXIO ENOTCONN EPWROFF EDEVERR ENOMEDIUM",
		fault.ClassLater, "the disk, or what is mounted there, is gone; mount it again"},
	{"EFSCORRUPTED EUCLEAN EBADMSG", fault.ClassLater, "the file system is damaged; check and mend it"},
	{"ESTALE",
		fault.ClassLater, "the server of the mounted file system does not know the file any more; mount it again"},
	{`ETIMEDOUT EHOSTDOWN EHOSTUNREACH ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNREFUSED ECONNRESET ESHUTDOWN
		EPIPE ENOLINK ECOMM EREMOTEIO EPROTO ETIME EREMCHG ENONET ERPCMISMATCH EBADRPC`,
		fault.ClassLater, "the server of the mounted file system, or the network to it, is in trouble; mend it"},
	{"EKEYEXPIRED EKEYREVOKED EKEYREJECTED ENOKEY EAUTH ENEEDAUTH",
		fault.ClassLater, "the key of an encrypted or mounted file system is missing or has expired; unlock it, or log in again"},
	{"EHWPOISON", fault.ClassLater, "the memory of this machine is damaged"},
	{"EACCES", fault.ClassPermanent, "give this user the right to read and write there"},
	{"EPERM",
		fault.ClassPermanent, "this user may not do that there, or the file system has no hard links; give it the right, " +
			"or put the table on another file system"},
	{"EROFS",
		fault.ClassPermanent, "the file system is read-only; mount it for writing, or put the table on another one"},
	{"ENOTDIR", fault.ClassPermanent, "a file stands where the table needs a folder"},
	{"EISDIR ENOTEMPTY", fault.ClassPermanent, "a folder stands where the table needs a file"},
	{"ELOOP", fault.ClassPermanent, "the path leads in a circle of symbolic links; correct it"},
	{"ENAMETOOLONG EILSEQ",
		fault.ClassPermanent, "the file system does not take such a name; put the table on another one, or give it a shorter path"},
	{"EFBIG",
		fault.ClassPermanent, "the file is larger than may be; raise the limit (ulimit -f), or lower target_file_size"},
	{"EOVERFLOW", fault.ClassPermanent, "the file is larger than may be; lower target_file_size"},
	{"EMLINK",
		fault.ClassPermanent, "the folder holds as many folders as the file system allows; have fewer partitions"},
	{"EXDEV", fault.ClassPermanent, "parts of the table are on different file systems; have all of it on one"},
	{"ENOTSUP EOPNOTSUPP ENOSYS",
		fault.ClassPermanent, "the file system has to offer hard links; put the table on another one"},
	{"ENOTCAPABLE", fault.ClassPermanent, "this process may not do that there"},
	{"EINVAL", fault.ClassAgain, "the file system does not do that; if it stays so, put the table on another one"},
	{"ENOENT", fault.ClassAgain, "the folder was taken away, or nothing can be made in it"},
	{"EEXIST", fault.ClassAgain, "something of that name is there"},
	{`ERANGE EBADF EFAULT ESPIPE ECANCELED E2BIG EDOM ENOTTY EALREADY EINPROGRESS EISCONN EDESTADDRREQ EMSGSIZE
		EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL
		ETOOMANYREFS ENOTSOCK ENOTBLK ESRCH ECHILD ENOEXEC EUSERS EPROCLIM EFTYPE ENOATTR ENOPOLICY EBADEXEC EBADARCH
		ESHLIBVERS EBADMACHO EQFULL ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE
		EBADR EXFULL ENOANO EBADRQC EBADSLT EBFONT ENOSTR ENODATA ENOSR ENOPKG EADV ESRMNT EMULTIHOP EDOTDOT ENOTUNIQ
		EBADFD ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC ERESTART ESTRPIPE ENOTNAM ENAVAIL EISNAM EMEDIUMTYPE
		EOWNERDEAD ENOTRECOVERABLE ERFKILL`,
		fault.ClassAgain, "the operating system says this of no call on a file; its log may say more"},
	{"EREMOTE EPROCUNAVAIL EPROGMISMATCH EPROGUNAVAIL",
		fault.ClassAgain, "the server of the mounted file system, or the network to it, is in trouble; mend it"},
}
