"""`rspnet serve`: a library as a web page. Needs the extra `rspnet[ui]`; nothing outside this folder imports it."""
