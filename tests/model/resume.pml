/*
 * The resume protocol as a model for spin: one session, two links at once, links that break or lie half-open,
 * crashes of both ends, two streams that end one by one. README.md says what it leaves out and which function each
 * step stands for.
 *
 * Bounds, each a -D:
 *
 *   BYTES_C, BYTES_S  bytes of cproxy's and of sproxy's stream; the end follows each
 *   BREAKS            how often a link breaks, with all that is in it; after that the network is good
 *   CRASH_C, CRASH_S  how often each end dies and comes back with nothing but its record
 *   SPARE             how often cproxy dials beside a link that is well (a suspicion that was wrong)
 *   QUEUE             frames on their way in one direction of one link
 *   ONE_WAY           links also break in one direction only
 *   SLOW              the programs write byte by byte instead of everything at once
 *   ANSWERS           sproxy's program says nothing before it has heard the end of cproxy's
 *   WINDOW            bytes that may be sent beyond what is acknowledged
 *
 * and BUG_something plants one mistake, to show that the model can fail. WITNESS=n makes the corner with that number
 * an error, to show that it is reached.
 */

#ifndef BYTES_C
#define BYTES_C 2
#endif
#ifndef BYTES_S
#define BYTES_S 1
#endif
#ifndef BREAKS
#define BREAKS 1
#endif
#ifndef CRASH_C
#define CRASH_C 0
#endif
#ifndef CRASH_S
#define CRASH_S 0
#endif
#ifndef SPARE
#define SPARE 1
#endif
#ifndef WINDOW
#define WINDOW 9 /* as good as none */
#endif
#ifndef QUEUE
#define QUEUE 2
#endif

#ifndef WITNESS
#define WITNESS 0
#endif
#define corner(n, here) assert(n != WITNESS || !(here))

#define C 0 /* cproxy, the opener */
#define S 1 /* sproxy, the acceptor */
#define bytes_of(me) (me == C -> BYTES_C : BYTES_S)
#define ROOM_HELD 4 /* at least the longer stream */

/* ----------------------------------------------------------------------------------------------------------------
 * The network: two slots for links. Each end of a link is a place where frames arrive in order; `dead` is a place
 * where nothing arrives any more, though its end may believe for long that all is well.
 */

#define NONE 2 /* no link */
#define who(me) (me == C -> cproxy : sproxy) /* printed when spin replays a trail */
#define place(l, me) (2 * (l) + (me))
#define far(l, me) (2 * (l) + 1 - (me))

/* made, resumed and overtaken are the welcomes */
mtype = { hello, made, resumed, overtaken, open, resume, data, ack, ending, closed, cproxy, sproxy };

/* A frame: type, sequence, more, acknowledgement, content. `more` is the length of data and `next` of a resume;
 * `content` is which bytes of the program these really are, whatever the sequence says. In hello and welcome: the
 * tunnel (0: a new one) as sequence, the attempt as acknowledgement. */
chan arriving[4] = [QUEUE] of { mtype, byte, byte, byte, byte };
bool up[4];      /* this end of the link is open */
bool dead[4];    /* nothing arrives here any more */
byte attempt[2]; /* of the hello that cproxy sent on this link */

byte breaks = BREAKS;
byte spare = SPARE;
byte crashes[2];

/* ----------------------------------------------------------------------------------------------------------------
 * What really happened: what the local program of each side has got. No proxy looks at this; assertions do.
 */

byte got[2];
bool got_end[2];

/* ----------------------------------------------------------------------------------------------------------------
 * Each side. The record is what survives a crash; the rest is built anew from it.
 */

/* record: the session */
bool has[2];           /* the session is there */
byte begin[2];         /* outflow: acknowledged by the peer, forgotten here */
byte committed[2];     /* outflow: read from the local program */
bool ended[2];         /* outflow: the local program ended its stream */
byte delivered[2];     /* inflow: bytes in the kernel of the local program */
bool end_delivered[2]; /* inflow: and the end */
byte sent_most[2];     /* outflow: on any link */
bool end_acked[2];     /* outflow: the peer has delivered the end */
bool known[2];         /* the peer has spoken of the session */

/* record: the tunnel */
byte c_tunnel, c_attempt, attempts; /* Claim: name (0: none), attempt that carries it, attempts so far */
byte s_tunnel, s_attempt;           /* Admission: name (0: none), highest attempt that was proved */
bool s_seen;                        /* the highest number of a session ever seen is ours */

/* not in the record */
byte carrier[2];               /* the link that carries the tunnel */
byte sent[2];                  /* outflow: on this link */
byte received[2];              /* inflow: delivered or held */
bool end_known[2];             /* inflow */
byte told[2];                  /* inflow: the last acknowledgement */
byte held[2 * ROOM_HELD];      /* inflow: the content of what is held, plus 1 */
bool introduced[2];            /* said open or resume on this link */
bool may_send[2];              /* knows from where on the peer wants bytes */
bool owes_closed[2];           /* about a session that is not there */

#ifdef BUG_POSITION_RESET
byte base[2];
#endif

hidden byte type_seen; /* scratch of one step */
hidden byte seq, more, acknowledged, content, i;

#define acknowledged_by_peer(me) (begin[me] + end_acked[me])
#define delivered_here(me) (delivered[me] + end_delivered[me])
#define next_wanted(me) (received[me] + end_known[me])
#define news(me) (delivered_here(me) != told[me])
#define complete(me) (end_acked[me] && end_delivered[me])

#define all_delivered (got[C] == BYTES_S && got_end[C] && got[S] == BYTES_C && got_end[S])
#define done (!has[C] && !has[S] && all_delivered)

ltl eventual_delivery { <> done }

/* ----------------------------------------------------------------------------------------------------------------
 * Links
 */

#define open_at_both(l) (up[place(l, C)] && up[place(l, S)])
#define free_slot(l) (!up[place(l, C)] && !up[place(l, S)])
#define impaired(l) (!open_at_both(l) || dead[place(l, C)] || dead[place(l, S)])
#define reachable(l, me) (up[far(l, me)] && !dead[far(l, me)])
#define room(l, me) (!reachable(l, me) || nfull(arriving[far(l, me)]))

/* What nobody will get is lost without a word: so it is with a link that is half-open. */
inline put(l, me, type, a, b, k, c)
{
  printf("%e says on link %d: %e, sequence %d, more %d, acknowledgement %d\n", who(me), l, type, a, b, k);
  corner(1, !reachable(l, me)); /* said into a half-open link */
  if
  :: reachable(l, me) -> arriving[far(l, me)]!type(a, b, k, c)
  :: else
  fi
}

inline lose_arriving(where)
{
  do
  :: nempty(arriving[where]) -> arriving[where]?_, _, _, _, _
  :: empty(arriving[where]) -> break
  od;
  skip
}

inline close_end(l, me)
{
  printf("%e closes link %d\n", who(me), l);
  up[place(l, me)] = false;
  lose_arriving(place(l, me));
  if
  :: carrier[me] == l -> carrier[me] = NONE
  :: else
  fi;
  if
  :: free_slot(l) -> dead[place(l, C)] = false; dead[place(l, S)] = false; attempt[l] = 0
  :: else
  fi
}

/* ----------------------------------------------------------------------------------------------------------------
 * A session: outflow and inflow
 */

inline forget(me, position)
{
  if
#ifdef BUG_END_WITHOUT_POSITION
  :: position >= committed[me] && sent_most[me] > committed[me] -> begin[me] = committed[me]; end_acked[me] = true
#endif
  :: position > committed[me] -> begin[me] = committed[me]; end_acked[me] = true
  :: else ->
     if
     :: position > begin[me] -> begin[me] = position
     :: else
     fi
  fi;
  /* Nothing is forgotten before the other program has it. */
  assert(begin[me] <= got[1 - me]);
  assert(!end_acked[me] || got_end[1 - me]);
  if
  :: sent[me] < acknowledged_by_peer(me) -> sent[me] = acknowledged_by_peer(me)
  :: else
  fi
}

inline acknowledge(me, position)
{
  assert(position <= sent_most[me]); /* ahead_of_sent */
  forget(me, position)
}

inline replay_from(me, next, position)
{
  assert(next <= sent_most[me] && position <= next); /* ahead_of_sent */
  forget(me, position);
  corner(2, next > acknowledged_by_peer(me)); /* what is held need not travel again */
#ifndef BUG_NO_REPLAY
  sent[me] = (next > acknowledged_by_peer(me) -> next : acknowledged_by_peer(me))
#endif
}

inline take(me, at, length, what)
{
#ifdef BUG_DOUBLES
  at = received[me]; /* all that comes is new */
#endif
  if
  :: end_known[me] && at + length > received[me] -> assert(false) /* after_end */
  :: else
  fi;
  corner(3, at + length <= received[me]); /* here already */
  corner(4, at < received[me] && at + length > received[me]); /* a part of it is */
  if
  :: at + length <= received[me]
  :: else ->
     assert(at <= received[me]); /* gap */
     i = received[me];
     do
     :: i < at + length && i < ROOM_HELD -> held[me * ROOM_HELD + i] = what + (i - at) + 1; i++
     :: else -> break
     od;
     received[me] = at + length
  fi
}

inline take_end(me, at)
{
  assert(at == received[me]); /* after_end, gap */
  end_known[me] = true
}

/* The two steps that reach the outside world. */
inline deliver(me)
{
  printf("%e delivers byte %d\n", who(me), got[me]);
  corner(5, got[me] == 0 && got_end[1 - me]); /* the other stream is over before this one begins */
  assert(!got_end[me]);
  assert(held[me * ROOM_HELD + delivered[me]] == got[me] + 1); /* the next byte, and no other */
  held[me * ROOM_HELD + delivered[me]] = 0;
  got[me]++;
  delivered[me]++
}

inline deliver_end(me)
{
  printf("%e delivers the end\n", who(me));
  assert(!got_end[me]);
  assert(got[me] == bytes_of(1 - me));
  got_end[me] = true;
  end_delivered[me] = true
#ifdef ANSWERS
  ;
  if
  :: me == S -> committed[S] = BYTES_S; ended[S] = true
  :: else
  fi
#endif
}

/* ----------------------------------------------------------------------------------------------------------------
 * A session: the whole
 */

/* What the constructors make of a record. */
inline build(me)
{
  sent[me] = acknowledged_by_peer(me);
  received[me] = delivered[me];
  end_known[me] = end_delivered[me];
  told[me] = delivered_here(me);
  introduced[me] = false;
  may_send[me] = false
}

inline begin_session(me)
{
  has[me] = true;
#ifdef ANSWERS
  if
  :: me == C -> committed[C] = BYTES_C; ended[C] = true
  :: else
  fi;
#else
#ifndef SLOW
  committed[me] = bytes_of(me);
  ended[me] = true;
#endif
#endif
  build(me)
}

inline forget_session(me)
{
  /* Whoever forgets knows that both programs have everything. */
  assert(all_delivered);
  printf("%e forgets the session\n", who(me));
  has[me] = false;
  begin[me] = 0; committed[me] = 0; ended[me] = false; delivered[me] = 0; end_delivered[me] = false;
  sent_most[me] = 0; end_acked[me] = false; known[me] = false;
  build(me)
}

inline new_link(me)
{
  owes_closed[me] = false;
  introduced[me] = false;
  may_send[me] = false;
#ifndef BUG_NO_REPLAY
  sent[me] = acknowledged_by_peer(me);
#endif
#ifdef BUG_POSITION_RESET
  base[me] = sent[me];
#endif
}

inline attach(l, me)
{
#ifndef BUG_OLD_LINK
  if
  :: carrier[me] == 0 -> close_end(0, me)
  :: carrier[me] == 1 -> close_end(1, me)
  :: else
  fi;
#endif
  carrier[me] = l;
  new_link(me)
}

/* One frame about the session arrives: type_seen, seq, more, acknowledged, content. */
inline receive(me)
{
  if
  :: !has[me] ->
     if
     :: me == S && type_seen == open && !s_seen ->
        begin_session(S);
        known[S] = true; introduced[S] = true; may_send[S] = true
     :: else ->
        if
        :: type_seen == open || type_seen == resume ->
           owes_closed[me] = true;
           corner(7, true) /* the last word was lost */
        :: else /* said before the peer could know */
        fi
     fi;
     if
     :: me == S -> s_seen = true
     :: else
     fi
  :: else ->
     known[me] = true;
     if
     :: type_seen == open ->
        assert(me == S); /* out_of_order */
        corner(6, true); /* opened again */
#ifdef BUG_OPEN_INTRODUCES
        introduced[me] = true;
#endif
        may_send[me] = true
     :: type_seen == resume ->
        assert(seq <= next_wanted(me)); /* else the session is reset: inconsistent */
        replay_from(me, more, acknowledged);
        may_send[me] = true
     :: type_seen == data -> acknowledge(me, acknowledged); take(me, seq, more, content)
     :: type_seen == ack -> acknowledge(me, acknowledged)
     :: type_seen == ending -> acknowledge(me, acknowledged); take_end(me, seq)
     :: type_seen == closed ->
        assert(end_delivered[me] && ended[me]); /* else it forgot a living session */
        corner(8, true);
        forget_session(me)
     :: else -> assert(false)
     fi
  fi
}

#ifdef BUG_ACK_ON_RECEIPT
#define acknowledgement(me) next_wanted(me)
#else
#define acknowledgement(me) delivered_here(me)
#endif
#ifdef BUG_POSITION_RESET
#define sequence(me) (sent[me] - base[me])
#else
#define sequence(me) sent[me]
#endif

inline say_introduction(l, me)
{
  introduced[me] = true;
  if
#ifdef BUG_RESUME_UNASKED
  :: true ->
#else
  :: known[me] ->
#endif
     told[me] = delivered_here(me);
     put(l, me, resume, acknowledged_by_peer(me), next_wanted(me), acknowledgement(me), 0)
  :: else -> /* it may not know us: say open again, and begin at once */
     may_send[me] = true;
     put(l, me, open, 0, 0, 0, 0)
  fi
}

inline say_data(l, me, length)
{
  told[me] = delivered_here(me);
  put(l, me, data, sequence(me), length, acknowledgement(me), sent[me]);
  sent[me] = sent[me] + length;
  if
  :: sent[me] > sent_most[me] -> sent_most[me] = sent[me]
  :: else
  fi
#ifdef BUG_FORGET_AT_SEND
  ; begin[me] = sent[me]
#endif
}

inline say_end(l, me)
{
  told[me] = delivered_here(me);
  put(l, me, ending, sequence(me), 0, acknowledgement(me), 0);
  sent[me]++;
  if
  :: sent[me] > sent_most[me] -> sent_most[me] = sent[me]
  :: else
  fi
}

inline say_ack(l, me)
{
  told[me] = delivered_here(me);
  put(l, me, ack, 0, 0, acknowledgement(me), 0)
}

inline crash(me)
{
  printf("%e crashes\n", who(me));
  if
  :: up[place(0, me)] -> close_end(0, me)
  :: else
  fi;
  if
  :: up[place(1, me)] -> close_end(1, me)
  :: else
  fi;
  owes_closed[me] = false;
  corner(9, received[me] > delivered[me]); /* what was held is lost */
  i = received[me];
  do
  :: i > delivered[me] -> i--; held[me * ROOM_HELD + i] = 0
  :: else -> break
  od;
#ifdef BUG_DELIVERED_LATE
  if
  :: delivered[me] > told[me] -> delivered[me]-- /* the kernel had the byte, the record not yet */
  :: else
  fi;
#endif
#ifdef BUG_END_NOT_KEPT
  end_delivered[me] = false;
#endif
#ifdef BUG_KNOWN_NOT_KEPT
  known[me] = (me == S && has[S]);
#endif
#ifdef BUG_SENT_MOST_NOT_KEPT
  sent_most[me] = begin[me];
#endif
  build(me)
}

/* ----------------------------------------------------------------------------------------------------------------
 * Who does what. Each option is one step; nothing happens in its middle.
 */

#define speaks(me) (carrier[me] != NONE && room(carrier[me], me))

/* A side that forgot the session between the peer's resume and its own would leave the peer with neither a resume nor
 * a closed: the last words of Session::over(). */
#ifdef BUG_FORGET_UNINTRODUCED
#define INTRODUCED(me) true
#else
#define INTRODUCED(me) introduced[me]
#endif

/* What both sides do alike. */
#define COMMON_STEPS(me) \
  :: d_step { has[me] && speaks(me) && !introduced[me] -> say_introduction(carrier[me], me) } \
  :: d_step { has[me] && speaks(me) && introduced[me] && may_send[me] && sent[me] < committed[me] \
       && sent[me] < begin[me] + WINDOW -> \
       say_data(carrier[me], me, 1) } \
  :: d_step { has[me] && speaks(me) && introduced[me] && may_send[me] && sent[me] + 1 < committed[me] \
       && committed[me] <= begin[me] + WINDOW -> \
       say_data(carrier[me], me, committed[me] - sent[me]) } \
  :: d_step { has[me] && speaks(me) && introduced[me] && may_send[me] && ended[me] \
       && sent[me] == committed[me] -> say_end(carrier[me], me) } \
  :: d_step { has[me] && speaks(me) && introduced[me] && news(me) -> say_ack(carrier[me], me) } \
  :: d_step { speaks(me) && owes_closed[me] -> \
       owes_closed[me] = false; put(carrier[me], me, closed, 0, 0, 0, 0) } \
  :: d_step { has[me] && received[me] > delivered[me] -> deliver(me) } \
  :: d_step { has[me] && end_known[me] && received[me] == delivered[me] && !end_delivered[me] -> \
       deliver_end(me) } \
  :: d_step { has[me] && complete(me) && !news(me) && INTRODUCED(me) -> forget_session(me) } \
  :: d_step { up[place(0, me)] && impaired(0) -> close_end(0, me) } \
  :: d_step { up[place(1, me)] && impaired(1) -> close_end(1, me) } \
  :: d_step { crashes[me] > 0 -> crashes[me]--; crash(me) }

#ifdef SLOW
#define PROGRAM_STEPS(me) \
  :: d_step { has[me] && committed[me] < bytes_of(me) -> committed[me]++ } \
  :: d_step { has[me] && committed[me] == bytes_of(me) && !ended[me] -> ended[me] = true }
#else
#define PROGRAM_STEPS(me)
#endif

#define pending(l) (up[place(l, C)] && carrier[C] != l)
#define any_pending (pending(0) || pending(1))
#define any_slot (free_slot(0) || free_slot(1))
#define in_need (carrier[C] == NONE || impaired(carrier[C]))

inline dial_on(l)
{
  attempts++;
  attempt[l] = attempts;
  up[place(l, C)] = true;
  up[place(l, S)] = true;
  put(l, C, hello, c_tunnel, 0, attempts, 0)
}

inline dial()
{
  if
  :: free_slot(0) -> dial_on(0)
  :: else -> dial_on(1)
  fi
}

inline cproxy_reads(l)
{
  arriving[place(l, C)]?type_seen, seq, more, acknowledged, content;
  printf("cproxy reads from link %d: %e\n", l, type_seen);
  if
  :: type_seen == made || type_seen == resumed ->
     assert(acknowledged == attempt[l] && carrier[C] != l);
     if
     :: attempt[l] < c_attempt -> close_end(l, C); corner(10, true) /* obsolete */
     :: else ->
        assert(type_seen == made || seq == c_tunnel);
        c_tunnel = seq;
        c_attempt = attempt[l];
        corner(12, open_at_both(1 - l)); /* two links that both live */
        attach(l, C)
     fi
  :: type_seen == overtaken -> close_end(l, C); corner(11, true)
  :: else ->
#ifndef BUG_OLD_LINK
     assert(carrier[C] == l); /* nothing from an older link counts */
#endif
     receive(C)
  fi
}

inline sproxy_reads(l)
{
  arriving[place(l, S)]?type_seen, seq, more, acknowledged, content;
  printf("sproxy reads from link %d: %e\n", l, type_seen);
  if
  :: type_seen == hello ->
     if
#ifdef BUG_OLDER_ATTEMPT
     :: s_tunnel != 0 && seq == 0 && acknowledged <= s_attempt ->
#else
     :: s_tunnel != 0 && acknowledged <= s_attempt ->
#endif
        put(l, S, overtaken, 0, 0, acknowledged, 0)
     :: else ->
        s_attempt = acknowledged;
        if
        :: seq == 0 ->
           assert(!has[S]); /* else a new tunnel ends a session that lives */
           s_seen = false;
           s_tunnel = acknowledged; /* a name that was not there before */
           attach(l, S);
           put(l, S, made, s_tunnel, 0, acknowledged, 0)
        :: else ->
           assert(seq == s_tunnel); /* else gone: the sessions are lost */
           attach(l, S);
           put(l, S, resumed, s_tunnel, 0, acknowledged, 0)
        fi
     fi
  :: else ->
#ifndef BUG_OLD_LINK
     assert(carrier[S] == l);
#endif
     receive(S)
  fi
}

proctype Cproxy()
{
end:
  do
  :: d_step { !done && in_need && !any_pending && any_slot -> dial() }
  :: d_step { !done && !in_need && !any_pending && any_slot && spare > 0 -> spare--; dial() }
#ifdef BUG_TWO_NEW
  :: d_step { carrier[C] == NONE && any_pending && any_slot && spare > 0 -> spare--; dial() }
#else
  :: d_step { c_tunnel != 0 && carrier[C] == NONE && any_pending && any_slot && spare > 0 -> spare--; dial() }
#endif
  :: d_step { nempty(arriving[place(0, C)]) -> cproxy_reads(0) }
  :: d_step { nempty(arriving[place(1, C)]) -> cproxy_reads(1) }
  COMMON_STEPS(C)
  PROGRAM_STEPS(C)
  od
}

proctype Sproxy()
{
end:
  do
  :: d_step { nempty(arriving[place(0, S)]) -> sproxy_reads(0) }
  :: d_step { nempty(arriving[place(1, S)]) -> sproxy_reads(1) }
  COMMON_STEPS(S)
  PROGRAM_STEPS(S)
  od
}

inline kill_way(where)
{
  printf("nothing arrives any more at %e from link %d\n", who((where) % 2), (where) / 2);
  dead[where] = true;
  lose_arriving(where)
}

proctype Network()
{
end:
  do
  :: d_step { breaks > 0 && open_at_both(0) -> breaks--; kill_way(place(0, C)); kill_way(place(0, S)) }
  :: d_step { breaks > 0 && open_at_both(1) -> breaks--; kill_way(place(1, C)); kill_way(place(1, S)) }
#ifdef ONE_WAY
  :: d_step { breaks > 0 && open_at_both(0) && !dead[place(0, C)] -> breaks--; kill_way(place(0, C)) }
  :: d_step { breaks > 0 && open_at_both(0) && !dead[place(0, S)] -> breaks--; kill_way(place(0, S)) }
  :: d_step { breaks > 0 && open_at_both(1) && !dead[place(1, C)] -> breaks--; kill_way(place(1, C)) }
  :: d_step { breaks > 0 && open_at_both(1) && !dead[place(1, S)] -> breaks--; kill_way(place(1, S)) }
#endif
  od
}

/* When nobody can do anything any more, everything must have arrived and both sides must have forgotten the session.
 * The formula at the top says it as well; this finds it without a search for cycles. */
proctype Judge()
{
end:
  timeout -> assert(done)
}

init
{
  d_step {
    carrier[C] = NONE;
    carrier[S] = NONE;
    crashes[C] = CRASH_C;
    crashes[S] = CRASH_S;
    begin_session(C)
  };
  atomic {
    run Cproxy();
    run Sproxy();
    run Network();
#ifndef NO_JUDGE
    run Judge();
#endif
    skip
  }
}
