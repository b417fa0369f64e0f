/* recorder.c: the flight recorder, a ring of the last decisions about events.
 *
 * It answers afterwards why an event was not delivered, or when. It holds no references: an event
 * is a number, a recipient an address. Off, it costs one test of a pointer per decision; on, 2 to 3
 * ns: a note is half a cache line, written in sequence, with the time that the caller has at hand.
 */
#include "internal.h"

uint64_t id_of(const void *event) {
    return host.event_id != NULL ? host.event_id(event) : (uint64_t)(uintptr_t)event;
}

int32_t bb_notes(bb_queue *q, uint64_t event, bb_note *out, int32_t n) {
    if (is_gone(q)) return BB_GONE;
    int32_t found = 0;
    void *token = queue_lock(q);
    uint64_t size = (uint64_t)q->notes_size, kept = q->noted < size ? q->noted : size;
    for (uint64_t i = 1; i <= kept && found < n; i++) { /* the newest first, from the end */
        const bb_note *note = &q->notes[(q->noted - i) % size];
        if (event == 0 || note->event == event) out[n - ++found] = *note;
    }
    for (int32_t i = 0; i < found; i++) out[i] = out[n - found + i];
    queue_unlock(q, token);
    return found;
}
