from __future__ import annotations

from ostinato.local.notices import Notices


def test_the_end_of_an_instance_is_told_to_all_who_wait_for_it():
    notices = Notices()
    mine, yours, other = (notices.end_of(one) for one in ("a", "a", "b"))
    notices.tell_end("a")
    assert (mine.is_set(), yours.is_set(), other.is_set()) == (True, True, False)


def test_an_end_that_nobody_waits_for_is_told_to_nobody():
    notices = Notices()
    notices.tell_end("a")
    assert not notices.end_of("a").is_set()


def test_a_notice_that_was_dropped_is_not_set():
    notices = Notices()
    mine, yours = notices.end_of("a"), notices.end_of("a")
    notices.drop("a", mine)
    notices.drop("a", mine)
    notices.drop("unknown", mine)
    notices.tell_end("a")
    assert (mine.is_set(), yours.is_set()) == (False, True)


def test_nothing_is_kept_of_what_was_dropped_or_told():
    notices = Notices()
    notices.drop("a", notices.end_of("a"))
    notices.end_of("b")
    notices.tell_end("b")
    assert notices._ends == {}


def test_rest_is_told_once():
    notices = Notices()
    before = notices.idle()
    notices.tell_idle()
    after = notices.idle()
    assert (before.is_set(), after.is_set()) == (True, False)


def test_closing_sets_everything_and_whatever_comes_later():
    notices = Notices()
    end, idle = notices.end_of("a"), notices.idle()
    notices.close()
    notices.close()
    later = notices.end_of("a"), notices.idle()
    assert all(notice.is_set() for notice in (end, idle, *later))
    assert notices.closed
