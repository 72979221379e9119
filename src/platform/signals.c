#include "platform/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int signals_open(void)
{
    ENSURE(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    ENSURE(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);

    sigset_t taken;
    ENSURE(sigemptyset(&taken) == 0);
    ENSURE(sigaddset(&taken, SIGTERM) == 0);
    ENSURE(sigaddset(&taken, SIGINT) == 0);
    ENSURE(sigaddset(&taken, SIGHUP) == 0);
    ENSURE(pthread_sigmask(SIG_BLOCK, &taken, NULL) == 0);
    return signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
}

int signals_take(int fd)
{
    struct signalfd_siginfo arrived;
    return read(fd, &arrived, sizeof arrived) == (ssize_t)sizeof arrived ? (int)arrived.ssi_signo
                                                                         : 0;
}
