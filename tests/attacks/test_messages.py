"""Messages of the page: only the server makes it say that something was done, whatever stands in the address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from running_jobs.web.page import SAID

from ..forms import Forms
from .house import OPERATOR, VIEWER, House


def notices(page: str) -> list[str]:
    """Return what the page says of an action."""
    return [part.split("<")[0] for part in page.split('class="notice good" role="status">')[1:]]


def test_a_message_is_shown_where_the_server_sent_it(forms: Forms) -> None:
    for verb in ("pause", "resume"):
        leads_to = forms.post(f"/{verb}", {}).headers["Location"]
        assert notices(forms.page(leads_to.partition("?")[2])) == [SAID[verb]]


def test_a_message_that_somebody_wrote_into_an_address_is_not_shown(forms: Forms) -> None:
    for said in (*SAID, "selected-delete", "none-selected"):
        unsealed = urlencode({"said": said, "counts": "3-0-0-0"})
        assert notices(forms.page(forms.sealed(unsealed))) != [], said  # as it would be shown
        assert notices(forms.page(unsealed)) == [], said
        for seal in ("", "0" * 32, "<b>", "é", "\udcff"):
            query = f"{unsealed}&{urlencode({'seal': seal.encode(errors='surrogateescape')})}"
            assert notices(forms.page(query)) == [], query


def test_a_seal_holds_for_its_message_its_job_its_numbers_and_its_user_alone(data: Path) -> None:
    house = House(data)

    def shown(query: dict[str, str], user: tuple[str, str]) -> list[str]:
        return notices(house.client.get(f"/?{urlencode(query)}", auth=user).text)

    form = {"token": house.tokens[OPERATOR], "verb": "stop", "id": house.job.id, "back": f"job={house.job.id}"}
    answer = house.client.post("/selected", data=form, auth=OPERATOR)
    sent = dict(parse_qsl(answer.headers["Location"].partition("?")[2]))
    assert shown(sent, OPERATOR) == ["1 job was asked to stop."]
    assert shown(sent, VIEWER) == []
    changes = {
        "said": "selected-delete",
        "counts": "9-0-0-0",
        "job": "20000101-000000-000000",
        "seal": sent["seal"][::-1],
    }
    for name, text in changes.items():
        assert shown({**sent, name: text}, OPERATOR) == []
        both = urlencode(sent) + "&" + urlencode({name: text})  # the last one counts, for the seal as for the page
        assert notices(house.client.get(f"/?{both}", auth=OPERATOR).text) == []


def test_the_token_of_a_form_is_no_seal_and_a_seal_is_no_token(forms: Forms) -> None:
    token = forms.page().split('name="token" value="')[1].split('"')[0]
    assert notices(forms.page(f"said=pause&seal={token[:32]}")) == []
    leads_to = forms.post("/pause", {}).headers["Location"]
    seal = dict(parse_qsl(leads_to.partition("?")[2]))["seal"]
    assert forms.client.post("/resume", data={"token": seal}).status_code == 403
