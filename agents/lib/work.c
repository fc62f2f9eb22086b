// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "work.h"

struct job {
	STAILQ_ENTRY(job) link;
	void (*run)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

STAILQ_HEAD(job_list, job);

struct work {
	pthread_t thread;
	pthread_mutex_t lock; /* guards the two lists and `stopping` */
	pthread_cond_t wake;
	struct job_list queued, finished;
	bool stopping;
	int finished_fd;		 /* eventfd: the thread tells the loop */
	struct event *event;		 /* on finished_fd */
	unsigned int pending, queue_max; /* the loop's: submitted, done() not yet called */
};

static void *work_thread(void *arg)
{
	struct work *work = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&work->lock);
	while (!work->stopping) {
		struct job *job = STAILQ_FIRST(&work->queued);

		if (!job) {
			pthread_cond_wait(&work->wake, &work->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&work->queued, link);
		pthread_mutex_unlock(&work->lock);
		job->run(job->arg);
		pthread_mutex_lock(&work->lock);
		STAILQ_INSERT_TAIL(&work->finished, job, link);
		if (write(work->finished_fd, &one, sizeof(one)) < 0)
			break; /* an eventfd of this process cannot fail but by a bug */
	}
	pthread_mutex_unlock(&work->lock);
	return NULL;
}

static void work_finished(evutil_socket_t fd, short what, void *arg)
{
	struct work *work = arg;
	struct job_list finished = STAILQ_HEAD_INITIALIZER(finished);
	struct job *job;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&work->lock);
	STAILQ_CONCAT(&finished, &work->finished);
	pthread_mutex_unlock(&work->lock);
	while ((job = STAILQ_FIRST(&finished))) {
		STAILQ_REMOVE_HEAD(&finished, link);
		work->pending--;
		job->done(job->arg);
		free(job);
	}
}

static int work_start(struct work *work, struct event_base *base)
{
	work->event = event_new(base, work->finished_fd, EV_READ | EV_PERSIST, work_finished, work);
	if (!work->event)
		return -ENOMEM;
	event_add(work->event, NULL);
	return -pthread_create(&work->thread, NULL, work_thread, work);
}

struct work *work_new(struct event_base *base, unsigned int queue_max)
{
	struct work *work = calloc(1, sizeof(*work));

	if (!work)
		return NULL;
	work->queue_max = queue_max;
	STAILQ_INIT(&work->queued);
	STAILQ_INIT(&work->finished);
	pthread_mutex_init(&work->lock, NULL);
	pthread_cond_init(&work->wake, NULL);
	work->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (work->finished_fd >= 0 && !work_start(work, base))
		return work;
	if (work->event)
		event_free(work->event);
	if (work->finished_fd >= 0)
		close(work->finished_fd);
	free(work);
	return NULL;
}

static void free_jobs(struct job_list *list)
{
	struct job *job;

	while ((job = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, link);
		free(job);
	}
}

void work_free(struct work *work)
{
	if (!work)
		return;
	pthread_mutex_lock(&work->lock);
	work->stopping = true;
	pthread_cond_signal(&work->wake);
	pthread_mutex_unlock(&work->lock);
	pthread_join(work->thread, NULL);
	event_free(work->event);
	close(work->finished_fd);
	free_jobs(&work->queued);
	free_jobs(&work->finished);
	pthread_mutex_destroy(&work->lock);
	pthread_cond_destroy(&work->wake);
	free(work);
}

int work_submit(struct work *work, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
	struct job *job;

	if (work->pending >= work->queue_max)
		return -EAGAIN;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job->run = run;
	job->done = done;
	job->arg = arg;
	work->pending++;
	pthread_mutex_lock(&work->lock);
	STAILQ_INSERT_TAIL(&work->queued, job, link);
	pthread_cond_signal(&work->wake);
	pthread_mutex_unlock(&work->lock);
	return 0;
}
