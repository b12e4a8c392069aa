# Prints the Python to set up with: the first that this user can run and that is 3.11 or later.
# A python3 found on the way that is too old is printed if there is no other, for its message;
# one that lies in somebody else's closed folder does not run at all.
old=
for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
	if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		command -v "$python"
		exit
	elif [ -z "$old" ] && "$python" -c pass 2>/dev/null; then
		old=$python
	fi
done
echo "${old:-python3}"
